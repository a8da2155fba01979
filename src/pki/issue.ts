import "reflect-metadata";
import { createPublicKey, webcrypto, X509Certificate } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { Millis } from "#core/clock";
import { day } from "#core/clock";
import { Fault } from "#core/errors";
import { makeTlsKey, type TlsKeyType } from "./key.ts";
import { type Subject, tlsBackdating } from "./read.ts";

/** A certificate and its private key, PEM; the key in PKCS#8. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** How long a CA certificate lives: ten years (OVW-14). */
const authorityLife = 3652 * day;

/** A self-signed CA: CN = O = cluster name, ten years from `now` (OVW-14). */
export async function makeAuthority(options: {
  readonly clusterName: string;
  readonly keyType: TlsKeyType;
  readonly now: Millis;
}): Promise<TlsPair> {
  const pair = await makeTlsKey(options.keyType);
  const keys = await importPair(pair);
  const name = subjectName({ commonName: options.clusterName, organizations: [options.clusterName] });
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name,
    notBefore: new Date(options.now - tlsBackdating),
    notAfter: new Date(options.now + authorityLife),
    keys: keys.pair,
    signingAlgorithm: keys.algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.pair.publicKey),
    ],
  });
  return { cert: pem(cert), key: pair.privateKey };
}

/**
 * Signs a leaf over `publicKey` (PEM SubjectPublicKeyInfo, EC P-256/384/521 or RSA from 2048 bits), good for TLS on either end.
 * Throws `bad_parameter` for another key.
 */
export async function issueTls(options: {
  readonly ca: TlsPair;
  readonly publicKey: string;
  readonly subject: Subject;
  readonly dnsNames?: readonly string[];
  readonly ips?: readonly string[];
  readonly notBefore: Millis;
  readonly notAfter: Millis;
}): Promise<string> {
  const ca = await importAuthority(options.ca);
  const names: x509.JsonGeneralNames = [
    ...(options.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })),
    ...(options.ips ?? []).map((value) => ({ type: "ip" as const, value })),
  ];
  const publicKey = await importPublic(options.publicKey);
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: subjectName(options.subject),
    issuer: ca.certificate.subjectName,
    notBefore: new Date(options.notBefore),
    notAfter: new Date(options.notAfter),
    publicKey,
    signingKey: ca.signingKey,
    signingAlgorithm: ca.algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment,
        true,
      ),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(ca.certificate.publicKey),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return pem(cert);
}

/** A pair that signs itself, for the web port before somebody brings a certificate (OVW-39). Ten years. */
export async function makeSelfSigned(options: {
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  readonly ips: readonly string[];
  readonly now: Millis;
}): Promise<TlsPair & { publicKey: string }> {
  const pair = await makeTlsKey("ecdsa-p256");
  const keys = await importPair(pair);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: subjectName({ commonName: options.commonName, organizations: [options.commonName] }),
    notBefore: new Date(options.now - tlsBackdating),
    notAfter: new Date(options.now + authorityLife),
    keys: keys.pair,
    signingAlgorithm: keys.algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        ...options.dnsNames.map((value) => ({ type: "dns" as const, value })),
        ...options.ips.map((value) => ({ type: "ip" as const, value })),
      ]),
    ],
  });
  return { cert: pem(cert), key: pair.privateKey, publicKey: pair.publicKey };
}

const curves: Readonly<Record<string, string>> = {
  prime256v1: "P-256",
  secp384r1: "P-384",
  secp521r1: "P-521",
};
const rsa = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" } as const;

function algorithmOf(key: {
  asymmetricKeyType?: string | undefined;
  asymmetricKeyDetails?: { namedCurve?: string; modulusLength?: number } | undefined;
}) {
  if (key.asymmetricKeyType === "ec") {
    const namedCurve = curves[key.asymmetricKeyDetails?.namedCurve ?? ""];
    if (namedCurve)
      return { name: "ECDSA", namedCurve, hash: namedCurve === "P-256" ? "SHA-256" : "SHA-512" };
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (key.asymmetricKeyType === "rsa" && bits >= 2048 && bits <= 16_384) return rsa;
  throw new Fault("bad_parameter", "the TLS key must be ECDSA on a NIST curve or RSA of 2048 to 16384 bits");
}

async function importPublic(spki: string): Promise<webcrypto.CryptoKey> {
  let key: ReturnType<typeof createPublicKey>;
  try {
    key = createPublicKey(spki);
  } catch (cause) {
    throw new Fault("bad_parameter", "the TLS public key is not a PEM SubjectPublicKeyInfo", { cause });
  }
  return webcrypto.subtle.importKey(
    "spki",
    key.export({ type: "spki", format: "der" }),
    algorithmOf(key),
    true,
    ["verify"],
  );
}

async function importPrivate(
  key: string,
  algorithm: ReturnType<typeof algorithmOf>,
): Promise<webcrypto.CryptoKey> {
  const der = Buffer.from(key.replace(/-----[^-]+-----|\s/g, ""), "base64");
  return webcrypto.subtle.importKey("pkcs8", der, algorithm, true, ["sign"]);
}

async function importPair(pair: { publicKey: string; privateKey: string }) {
  const algorithm = algorithmOf(createPublicKey(pair.publicKey));
  const publicKey = await importPublic(pair.publicKey);
  return { algorithm, pair: { publicKey, privateKey: await importPrivate(pair.privateKey, algorithm) } };
}

/** Imported authorities, by key: every login signs with the same one, and importing costs more than signing. */
const imported = new Map<string, Promise<Awaited<ReturnType<typeof readAuthority>>>>();
const keptAuthorities = 16;

function importAuthority(ca: TlsPair) {
  let entry = imported.get(ca.cert);
  if (!entry) {
    if (imported.size >= keptAuthorities) imported.clear();
    entry = readAuthority(ca);
    imported.set(ca.cert, entry);
  }
  return entry;
}

async function readAuthority(ca: TlsPair) {
  const algorithm = algorithmOf(new X509Certificate(ca.cert).publicKey);
  return {
    certificate: new x509.X509Certificate(ca.cert),
    algorithm,
    signingKey: await importPrivate(ca.key, algorithm),
  };
}

/** The object form of each value, so that JSON and quotes in it stay what they are. */
function subjectName(subject: Subject): x509.Name {
  const field = (oid: string, values: readonly string[] = []): x509.JsonAttributeAndObjectValue[] =>
    values.map((utf8String) => ({ [oid]: [{ utf8String }] }));
  return new x509.Name([
    ...field("2.5.4.3", [subject.commonName]),
    ...field("2.5.4.10", subject.organizations),
    ...field("2.5.4.11", subject.organizationalUnits),
    ...field("2.5.4.7", subject.localities),
    ...field("2.5.4.8", subject.states),
    ...field("2.5.4.17", subject.postalCode === undefined ? [] : [subject.postalCode]),
  ]);
}

/** 16 random bytes, positive and not zero-led, as RFC 5280 §4.1.2.2 asks. */
function serial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] as number) & 0x3f) | 0x40;
  return bytes.toHex();
}

const pem = (cert: x509.X509Certificate): string => `${cert.toString("pem")}\n`;
