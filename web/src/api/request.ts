import type { z } from "zod";
import { csrfHeader, Refusal } from "#contract/web";
import { Fault, type FaultKind } from "#core/errors";
import { bearer } from "../session/session.ts";

const kindOf: Readonly<Record<number, FaultKind>> = {
  400: "bad_parameter",
  403: "access_denied",
  404: "not_found",
  409: "already_exists",
  429: "limit_exceeded",
  502: "protocol",
  503: "unreachable",
};

/** One call of the web API. Throws a `Fault` with the proxy's own sentence, or `unreachable` when there is no proxy. */
export async function request<S extends z.ZodType>(
  schema: S,
  method: "GET" | "POST" | "PUT" | "DELETE",
  path: string,
  body?: object,
): Promise<z.output<S>> {
  const token = bearer();
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(method !== "GET" && { [csrfHeader]: csrf() }),
        ...(body && { "content-type": "application/json" }),
      },
      body: body ? JSON.stringify(body) : null,
    });
  } catch (cause) {
    throw new Fault("unreachable", "the proxy cannot be reached; check your connection", { cause });
  }
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok) {
    const refusal = Refusal.safeParse(answer);
    const message = refusal.success
      ? refusal.data.message
      : `the proxy answered with status ${response.status}`;
    throw new Fault(kindOf[response.status] ?? "internal", message);
  }
  const parsed = schema.safeParse(answer);
  if (!parsed.success) throw new Fault("protocol", "the proxy gave an answer that this page does not know");
  return parsed.data;
}

/** The token the proxy wrote into this page. */
const csrf = (): string =>
  document.querySelector<HTMLMetaElement>('meta[name="grv_csrf_token"]')?.content ?? "";
