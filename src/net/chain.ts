import { X509Certificate } from "node:crypto";
import { getCACertificates } from "node:tls";
import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";

/** What a machine with this one's roots makes of a certificate that is shown to it with its chain. */
export type ChainVerdict = "self-signed" | "trusted" | { readonly problem: string };

/** Judges a PEM file with a certificate and what issued it, in any order behind it. Throws `bad_parameter` when it is none. */
export function judgeChain(
  pem: string,
  now: Millis,
  roots: () => readonly string[] = knownRoots,
): ChainVerdict {
  const [leaf, ...rest] = certificatesIn(pem);
  if (!leaf) throw new Fault("bad_parameter", "the file holds no certificate");
  const late = [leaf, ...rest].find(({ validTo }) => Date.parse(validTo) <= now);
  if (late) return { problem: `the certificate of ${nameOf(late)} ran out on ${late.validTo}; renew it` };
  if (Date.parse(leaf.validFrom) > now)
    return { problem: `it is not valid before ${leaf.validFrom}; look at this machine's clock` };
  if (isIssuedBy(leaf, leaf)) return "self-signed";
  let open = rest;
  let at = leaf;
  for (;;) {
    const issuer = open.find((one) => isIssuedBy(at, one));
    if (!issuer || isIssuedBy(issuer, issuer)) break;
    open = open.filter((one) => one !== issuer);
    at = issuer;
  }
  // Only roots with the right name are worth a signature check.
  const trusted = roots()
    .map((root) => new X509Certificate(root))
    .some((root) => isIssuedBy(at, root));
  if (trusted) return "trusted";
  return {
    problem: `nothing in the file and none of this machine's roots is ${at.issuer.replaceAll("\n", ", ")}, which issued ${nameOf(at)}; put the issuing certificates behind it, and a root of your own into the machine's store`,
  };
}

const isIssuedBy = (one: X509Certificate, by: X509Certificate): boolean =>
  one.checkIssued(by) && one.verify(by.publicKey);

const nameOf = ({ subject }: X509Certificate): string => subject.replaceAll("\n", ", ") || "no name";

function certificatesIn(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw new Fault("bad_parameter", "the file holds something that is no X.509 certificate", { cause });
  }
}

/** Those that come with Node, those of the operating system, and those of `NODE_EXTRA_CA_CERTS`. */
const knownRoots = (): readonly string[] => [
  ...getCACertificates("bundled"),
  ...getCACertificates("system"),
  ...getCACertificates("extra"),
];
