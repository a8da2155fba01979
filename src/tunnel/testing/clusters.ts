import { hour, minute, type TestClock } from "#core/clock";
import type { CertAuthority } from "#model";
import { formatPublicKeyLine, generateKey, issueCertificate, type PrivateKey, type Signer } from "#ssh/keys";

/** Of a proxy's certificate; what is not said is what it should be. */
export interface CertificateParts {
  readonly role?: string;
  readonly type?: "user" | "host";
  readonly keyId?: string;
  /** From now, in milliseconds. */
  readonly ends?: number;
  readonly by?: PrivateKey;
}

/** A cluster's host authority, for tests: what it certifies, and how others know it. */
export interface TestHosts {
  readonly name: string;
  readonly ca: PrivateKey;
  readonly authority: CertAuthority;
  certify(hostId: string, parts?: CertificateParts): Promise<Signer>;
}

export async function testHosts(name: string, clock: TestClock): Promise<TestHosts> {
  const ca = await generateKey("ed25519");
  return {
    name,
    ca,
    authority: {
      kind: "cert_authority",
      version: "v2",
      metadata: { name },
      spec: {
        type: "host",
        cluster_name: name,
        checking_keys: [formatPublicKeyLine({ key: ca.publicKey })],
        tls_key_pairs: [{ cert: "x" }],
      },
    },
    async certify(hostId, parts = {}) {
      const { role = "Proxy", type = "host", ends = hour, by = ca } = parts;
      const key = await generateKey("ed25519");
      const seconds = (ms: number): bigint => BigInt(Math.floor(ms / 1000));
      const certificate = await issueCertificate(
        {
          key: key.publicKey,
          type,
          keyId: parts.keyId ?? `${hostId}.${name}`,
          serial: 1n,
          principals: [`${hostId}.${name}`],
          validAfter: seconds(clock.now() - 2 * hour - minute),
          validBefore: seconds(clock.now() + ends),
          extensions: new Map([["x-teleport-role", role]]),
        },
        by.signer(),
      );
      return key.signer(certificate);
    },
  };
}
