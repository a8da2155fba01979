import { Fault } from "#core/errors";
import type { PublicKey } from "../keys/key.ts";
import { parsePublicKey, sameKey } from "../keys/public.ts";
import { SessionBind } from "../wire/agent.ts";
import { Signature } from "../wire/keys.ts";

/** As in OpenSSH: nobody forwards an agent over more hosts. */
const most = 16;

/** What a client proved of the SSH connections that its agent connection is for (OpenSSH PROTOCOL.agent §1). */
export class Bindings {
  readonly #sessions = new Map<string, PublicKey>();
  #forwarded = false;
  #forLogin = false;

  /** Whether another host is at the far end: OpenSSH says so of an agent connection before it hands it on. */
  get forwarded(): boolean {
    return this.#forwarded;
  }

  /** Throws a fault for a binding that nobody signed, or that comes when there should be none any more. */
  add(contents: Uint8Array): void {
    const { hostKey, sessionId, signature, forwarding } = SessionBind.decode(contents);
    const key = parsePublicKey(hostKey);
    const { algorithm } = Signature.decode(signature);
    if (!key.algorithms.includes(algorithm) || !key.verify(sessionId, signature, algorithm))
      throw new Fault("access_denied", "the host key did not sign this session");
    const session = Buffer.from(sessionId).toString("hex");
    const by = this.#sessions.get(session);
    // A host could pass its session off as another's, or a login as something to go on with.
    if (this.#forLogin || (by && !sameKey(by, key)) || this.#sessions.size >= most)
      throw new Fault("access_denied", "this connection cannot be bound again");
    this.#sessions.set(session, key);
    if (forwarding) this.#forwarded = true;
    else this.#forLogin = true;
  }
}
