import { createPublicKey } from "node:crypto";
import type { HostCertRequest } from "#auth";
import type { HostCerts } from "#contract/auth";
import { authorityLabel } from "#contract/names";
import type { Log } from "#core/log";
import { authorityPin, issuedBy, type TlsPair } from "#pki";
import { formatPublicKeyLine, type PublicKey } from "#ssh/keys";
import type { Asked, IdentityKeeper } from "./identity.ts";

interface Parts {
  readonly keeper: Pick<IdentityKeeper, "identity" | "onRenewed">;
  /** PEM of the host CAs that are trusted now. */
  readonly authorities: () => readonly string[];
  readonly onAuthorities: (listener: () => void) => () => void;
  readonly issue: (request: HostCertRequest) => Promise<HostCerts>;
  readonly hostId: string;
  readonly asked: Asked;
  readonly log: Log;
}

/**
 * What the auth API shows over a rotation to a member that knows only the old host CA, since it was away, or only the new one,
 * by whose pin it joins: a certificate of each that is trusted, beside the identity of this server (ROT-02).
 */
export class DoorCertificates implements Disposable {
  readonly #parts: Parts;
  readonly #leave: () => void;
  #pairs = new Map<string, TlsPair>();
  #making: Promise<void> = Promise.resolve();

  constructor(parts: Parts) {
    this.#parts = parts;
    const again = (): void => {
      this.#making = this.#making.then(() => this.#make());
    };
    parts.keeper.onRenewed(again);
    this.#leave = parts.onAuthorities(again);
    again();
  }

  /** For a client that names a CA which is not that of the server's identity. */
  certificateFor(serverName: string): TlsPair | undefined {
    return this.#pairs.get(serverName.split(".")[0] ?? "");
  }

  [Symbol.dispose](): void {
    this.#leave();
  }

  async #make(): Promise<void> {
    const { keeper, authorities, log } = this.#parts;
    const { identity } = keeper;
    const others = authorities().filter((ca) => !issuedBy(identity.tls.cert, ca));
    try {
      const made = await Promise.all(
        others.map(async (ca) => {
          const cert = await this.#certificate(ca);
          return [authorityLabel(authorityPin(ca)), { cert, key: identity.tls.key }] as const;
        }),
      );
      this.#pairs = new Map(made);
    } catch (err) {
      log.error("no certificate could be made for members that know another authority", {
        error: (err as Error).message,
      });
    }
  }

  /** Over the keys that the server has already. */
  async #certificate(authority: string): Promise<string> {
    const { keeper, issue, hostId, asked } = this.#parts;
    const { signers, tls } = keeper.identity;
    const ssh = (signers.at(-1) as { publicKey: PublicKey }).publicKey;
    const spki = createPublicKey(tls.key).export({ type: "spki", format: "pem" }).toString();
    const { tls_cert } = await issue({
      ...asked,
      host_id: hostId,
      role: "Auth",
      public_ssh_key: base64(formatPublicKeyLine({ key: ssh })),
      public_tls_key: base64(spki),
      tls_authority: authority,
    });
    return tls_cert;
  }
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
