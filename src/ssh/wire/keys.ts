import { Fault } from "#core/errors";
import { byte, bytes, type Field, Reader, rest, text, uint32, uint64, Writer } from "./codec.ts";
import { structure } from "./structure.ts";

/**
 * An mpint (RFC 4251 §5) that may not be negative, as its big-endian bytes without leading zeros; zero is empty.
 * Refuses the longer spellings of one number, so that one key has one blob.
 */
export const magnitude: Field<Uint8Array> = {
  read(r) {
    const raw = bytes.read(r);
    const [first, second = 0] = raw;
    if (first === undefined) return raw;
    if (first >= 0x80) throw new Fault("protocol", "number is negative");
    if (first > 0) return raw;
    if (second < 0x80) throw new Fault("protocol", "number has needless leading zeros");
    return raw.subarray(1);
  },
  write(w, value) {
    const start = value.findIndex((b) => b !== 0);
    const digits = start < 0 ? value.subarray(value.length) : value.subarray(start);
    bytes.write(w, (digits[0] ?? 0) < 0x80 ? digits : Buffer.concat([Uint8Array.of(0), digits]));
  },
};

/** RFC 8709 §4. */
export const Ed25519Key = structure("Ed25519 key", { point: bytes });
/** RFC 5656 §3.1. */
export const EcdsaKey = structure("ECDSA key", { curve: text, point: bytes });
/** RFC 4253 §6.6. */
export const RsaKey = structure("RSA key", { exponent: magnitude, modulus: magnitude });
/** OpenSSH PROTOCOL.u2f. `application` is the relying party, e.g. `ssh:`. */
export const SkEd25519Key = structure("Ed25519 security key", { point: bytes, application: bytes });
export const SkEcdsaKey = structure("ECDSA security key", { curve: text, point: bytes, application: bytes });

/** RFC 4253 §6.6. `extra` is empty but for security keys. */
export const Signature = structure("signature", { algorithm: text, blob: bytes, extra: rest });
/** RFC 5656 §3.1.2. */
export const EcdsaSignature = structure("ECDSA signature", { r: magnitude, s: magnitude });
/** OpenSSH PROTOCOL.u2f: what follows the signature of a security key. */
export const SkSignatureEnd = structure("security key signature", { flags: byte, counter: uint32 });

/** At most 256, as in OpenSSH. Empty strings come through: whether they mean anything is for the check. */
const names: Field<string[]> = {
  read(r) {
    const inner = new Reader(bytes.read(r));
    const out: string[] = [];
    while (inner.left > 0) {
      if (out.length === 256) throw new Fault("protocol", "certificate names more than 256 principals");
      out.push(text.read(inner));
    }
    return out;
  },
  write: (w, v) =>
    nested(w, (inner) => {
      for (const name of v) text.write(inner, name);
    }),
};

/** Name and value pairs in ascending order of the names' bytes, each once; a value is one string inside a string, or empty. */
const options: Field<ReadonlyMap<string, string>> = {
  read(r) {
    const inner = new Reader(bytes.read(r));
    const out = new Map<string, string>();
    let last: string | undefined;
    while (inner.left > 0) {
      const name = text.read(inner);
      if (last !== undefined && compareBytes(last, name) >= 0)
        throw new Fault("protocol", "certificate options are not sorted, or one is there twice");
      const value = new Reader(bytes.read(inner));
      out.set(name, value.left === 0 ? "" : text.read(value));
      if (value.left > 0) throw new Fault("protocol", "certificate option has bytes after its value");
      last = name;
    }
    return out;
  },
  write: (w, v) =>
    nested(w, (inner) => {
      for (const [name, value] of [...v].sort(([a], [b]) => compareBytes(a, b))) {
        text.write(inner, name);
        nested(inner, (packed) => (value === "" ? undefined : text.write(packed, value)));
      }
    }),
};

const certificateType: Field<"user" | "host"> = {
  read(r) {
    const type = uint32.read(r);
    if (type !== 1 && type !== 2)
      throw new Fault("protocol", `certificate type is ${type}, not user or host`);
    return type === 1 ? "user" : "host";
  },
  write: (w, v) => uint32.write(w, v === "user" ? 1 : 2),
};

/** OpenSSH PROTOCOL.certkeys: what follows the certified key, up to the signature. `reserved` is empty today. */
export const CertificateBody = structure("certificate", {
  serial: uint64,
  type: certificateType,
  keyId: text,
  principals: names,
  validAfter: uint64, // seconds since the Unix epoch
  validBefore: uint64, // seconds since the Unix epoch
  criticalOptions: options,
  extensions: options,
  reserved: bytes,
  signatureKey: bytes,
});

function nested(w: Writer, fill: (inner: Writer) => void): void {
  const inner = new Writer();
  fill(inner);
  bytes.write(w, inner.finish());
}

function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
