import { Fault } from "#core/errors";
import {
  type Body,
  boolean,
  bytes,
  type Field,
  message,
  nameList,
  raw,
  text,
  uint32,
  upTo,
} from "./codec.ts";

/** RFC 4253 §11.1. */
export const Disconnect = message(1, "SSH_MSG_DISCONNECT", {
  reason: uint32,
  description: upTo(4096, text),
  language: upTo(64, text),
});

/** RFC 4253 §11.2. */
export const Ignore = message(2, "SSH_MSG_IGNORE", { data: bytes });

/** RFC 4253 §11.4. */
export const Unimplemented = message(3, "SSH_MSG_UNIMPLEMENTED", { sequence: uint32 });

/** RFC 4253 §11.3. */
export const Debug = message(4, "SSH_MSG_DEBUG", {
  alwaysDisplay: boolean,
  text: upTo(4096, text),
  language: upTo(64, text),
});

/** RFC 4253 §10. */
export const ServiceRequest = message(5, "SSH_MSG_SERVICE_REQUEST", { service: upTo(64, text) });
export const ServiceAccept = message(6, "SSH_MSG_SERVICE_ACCEPT", { service: upTo(64, text) });

const maxExtensions = 64;
/** RFC 8308 §2.3: a count, then names with their values. A name that comes twice is refused. */
const extensions: Field<ReadonlyMap<string, Uint8Array>> = {
  read(r) {
    const count = r.uint32();
    if (count > maxExtensions)
      throw new Fault("protocol", `${count} extensions, at most ${maxExtensions} are allowed`);
    const found = new Map<string, Uint8Array>();
    for (let i = 0; i < count; i++) {
      const name = text.read(r, 64);
      if (found.has(name)) throw new Fault("protocol", "an extension is given twice");
      found.set(name, bytes.read(r));
    }
    return found;
  },
  write(w, all) {
    w.uint32(all.size);
    for (const [name, value] of all) {
      text.write(w, name);
      bytes.write(w, value);
    }
  },
};
/** RFC 8308 §2.3. */
export const ExtInfo = message(7, "SSH_MSG_EXT_INFO", { extensions });

/** RFC 4253 §7.1. */
export const KexInit = message(20, "SSH_MSG_KEXINIT", {
  cookie: raw(16),
  kex: nameList,
  hostKeys: nameList,
  ciphersToServer: nameList,
  ciphersToClient: nameList,
  macsToServer: nameList,
  macsToClient: nameList,
  compressionToServer: nameList,
  compressionToClient: nameList,
  languagesToServer: nameList,
  languagesToClient: nameList,
  firstKexPacketFollows: boolean,
  reserved: uint32,
});
export type KexInit = Body<typeof KexInit>;

/** RFC 4253 §7.3. */
export const NewKeys = message(21, "SSH_MSG_NEWKEYS", {});

/** OpenSSH PROTOCOL §1.9. */
export const Ping = message(192, "SSH_MSG_PING", { data: bytes });
export const Pong = message(193, "SSH_MSG_PONG", { data: bytes });
