import { createPrivateKey, randomInt } from "node:crypto";
import { Fault } from "#core/errors";
import { Reader, text, Writer } from "../wire/codec.ts";
import { KeyFile, KeyFileSecrets } from "../wire/private-keys.ts";
import { PrivateKey } from "./private.ts";
import { readPrivateKey, writePrivateKey } from "./private-fields.ts";

const magic = "openssh-key-v1\0";
const label = "OPENSSH PRIVATE KEY";

/**
 * Reads an unencrypted private key: OpenSSH's own format (PROTOCOL.key) or PEM with PKCS#8, PKCS#1 or SEC 1 inside.
 * Throws `bad_parameter` for an encrypted or unsupported key and for what is no private key, `protocol` for a broken one.
 */
export function parsePrivateKey(file: string): { key: PrivateKey; comment: string } {
  const found = /-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----(.*?)-----END \1-----/s.exec(file.slice(0, 2 ** 17));
  if (!found)
    throw new Fault("bad_parameter", "this is not a private key: no BEGIN … PRIVATE KEY and END lines");
  const [block, kind, body = ""] = found;
  if (kind === label) return parseOpenSsh(Buffer.from(body, "base64"));
  if (kind === "ENCRYPTED PRIVATE KEY" || /^Proc-Type:.*ENCRYPTED/m.test(body)) throw encrypted();
  try {
    return { key: new PrivateKey(createPrivateKey(block)), comment: "" };
  } catch (cause) {
    throw cause instanceof Fault
      ? cause
      : new Fault("bad_parameter", "the PEM private key cannot be read", { cause });
  }
}

/** OpenSSH's own format, unencrypted, as `ssh-keygen -N ""` writes it. Only files with mode 0600 may hold it. */
export function formatPrivateKey(key: PrivateKey, comment = ""): string {
  const check = randomInt(2 ** 32);
  const fields = new Writer();
  writePrivateKey(fields, { key });
  text.write(fields, comment);
  const start = new Writer();
  start.uint32(check);
  start.uint32(check);
  const secrets = Buffer.concat([start.finish(), fields.finish()]);
  const padding = Uint8Array.from({ length: -secrets.length & 7 }, (_, i) => i + 1);
  const file = KeyFile.encode({
    cipher: "none",
    kdf: "none",
    kdfOptions: new Uint8Array(0),
    count: 1,
    publicKey: key.publicKey.blob,
    secrets: Buffer.concat([secrets, padding]),
  });
  const base64 = Buffer.concat([Buffer.from(magic), file]).toString("base64");
  const lines = base64.match(/.{1,70}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function parseOpenSsh(raw: Uint8Array): { key: PrivateKey; comment: string } {
  const r = new Reader(raw);
  if (Buffer.compare(r.bytes(magic.length), Buffer.from(magic)) !== 0)
    throw new Fault("protocol", "OpenSSH private key has another format version");
  const file = KeyFile.decode(r.bytes(r.left));
  if (file.cipher !== "none" || file.kdf !== "none") throw encrypted();
  if (file.count !== 1)
    throw new Fault("bad_parameter", `the file holds ${file.count} private keys; only one is read`);
  const { check, checkAgain, type, fields } = KeyFileSecrets.decode(file.secrets);
  if (check !== checkAgain) throw new Fault("protocol", "OpenSSH private key is damaged");
  const inner = new Reader(fields);
  const { key, certificate } = readPrivateKey(type, inner);
  const comment = text.read(inner);
  const padding = inner.bytes(inner.left);
  if (padding.length > 7 || padding.some((byte, i) => byte !== i + 1))
    throw new Fault("protocol", "OpenSSH private key has wrong padding");
  if (certificate || Buffer.compare(file.publicKey, key.publicKey.blob) !== 0)
    throw new Fault("protocol", "OpenSSH private key holds another key than it says");
  return { key, comment };
}

/** OpenSSH encrypts with bcrypt_pbkdf, which node:crypto does not have; ciphers of our own making are not an option. */
function encrypted(): Fault {
  return new Fault(
    "bad_parameter",
    "the private key is encrypted with a passphrase: load it into an ssh-agent, or decrypt a copy with ssh-keygen -p",
  );
}
