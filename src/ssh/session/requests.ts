import { boolean, type Field, text, uint32 } from "../wire/codec.ts";
import { type Structure, structure } from "../wire/structure.ts";
import { decodeModes, encodeModes, type TerminalModes } from "./modes.ts";

const modes: Field<TerminalModes> = {
  read: (r) => decodeModes(r.bytes(r.uint32())),
  write(w, value) {
    const encoded = encodeModes(value);
    w.uint32(encoded.length);
    w.bytes(encoded);
  },
};

const size = { columns: uint32, rows: uint32, widthPixels: uint32, heightPixels: uint32 };
const none = structure("empty request", {});

/** RFC 4254 §6 and OpenSSH PROTOCOL §2: what each request of a session adds to SSH_MSG_CHANNEL_REQUEST. */
export const sessionRequests = {
  /** §6.2 */
  "pty-req": structure("pty-req", { term: text, ...size, modes }),
  /** §6.7 */
  "window-change": structure("window-change", size),
  /** §6.4 */
  env: structure("env", { name: text, value: text }),
  /** §6.5 */
  shell: none,
  exec: structure("exec", { command: text }),
  subsystem: structure("subsystem", { name: text }),
  /** §6.9; the name has no `SIG` before it. */
  signal: structure("signal", { signal: text }),
  /** RFC 4335 §3; the length is in milliseconds. */
  break: structure("break", { length: uint32 }),
  /** §6.10 */
  "exit-status": structure("exit-status", { code: uint32 }),
  "exit-signal": structure("exit-signal", {
    signal: text,
    coreDumped: boolean,
    message: text,
    language: text,
  }),
  /** The client serves its agent on channels of kind `auth-agent@openssh.com`. */
  "auth-agent-req@openssh.com": none,
  /** The sender reads no more: it will drop what is still written to it. */
  "eow@openssh.com": none,
} satisfies Record<string, Structure<unknown>>;

export type SessionRequestName = keyof typeof sessionRequests;
type Payload<N extends SessionRequestName> = ReturnType<(typeof sessionRequests)[N]["decode"]>;

/** A request of a session, told apart by `name`, its fields beside it under `body`. */
export type SessionRequest = {
  [N in SessionRequestName]: { readonly name: N; readonly body: Payload<N> };
}[SessionRequestName];

/** Reads a session request; undefined for a name that is not one. Throws `protocol` when the payload is malformed. */
export function readSessionRequest(name: string, payload: Uint8Array): SessionRequest | undefined {
  if (!Object.hasOwn(sessionRequests, name)) return undefined;
  const table = sessionRequests[name as SessionRequestName] as Structure<unknown>;
  return { name, body: table.decode(payload) } as SessionRequest;
}
