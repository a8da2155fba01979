import type { BearerSession } from "#contract/web";

/** Shared by all tabs. It is half of a session and no use without the cookie, which scripts cannot read. */
const key = "teleport.session";

interface Held {
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly until: number;
}

export function hold({ token, expires_in }: BearerSession): void {
  const since = Date.now();
  const held: Held = { token, since, until: since + expires_in * 1000 };
  localStorage.setItem(key, JSON.stringify(held));
}

export const drop = (): void => localStorage.removeItem(key);

export const bearer = (): string | undefined => held()?.token;

/** Milliseconds until the session wants renewal, at two thirds of its life; undefined without a session. */
export function renewIn(): number | undefined {
  const current = held();
  if (!current) return undefined;
  const { since, until } = current;
  return Math.max(0, since + (2 / 3) * (until - since) - Date.now());
}

/** Calls back when this or another tab signs out or in. */
export function onOtherTab(listener: () => void): () => void {
  const heard = (event: StorageEvent): void => {
    if (event.key === key || event.key === null) listener();
  };
  window.addEventListener("storage", heard);
  return () => window.removeEventListener("storage", heard);
}

function held(): Held | undefined {
  try {
    const { token, since, until } = JSON.parse(localStorage.getItem(key) ?? "") as Held;
    return typeof token === "string" && until > Date.now() ? { token, since, until } : undefined;
  } catch {
    return undefined;
  }
}
