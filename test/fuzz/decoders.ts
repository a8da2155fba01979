import { globSync, readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { Fault } from "#core/errors";
import { inAddressList } from "../../src/core/cidr.ts";
import { messages } from "../../src/ssh/agent/framing.ts";
import { offer } from "../../src/ssh/crypto/algorithms.ts";
import { kexInit, negotiate } from "../../src/ssh/crypto/negotiate.ts";
import * as forward from "../../src/ssh/forward/requests.ts";
import { checkCertificate } from "../../src/ssh/keys/check.ts";
import { matchesHost, parseKnownHosts } from "../../src/ssh/keys/known-hosts.ts";
import { readPrivateKey, writePrivateKey } from "../../src/ssh/keys/private-fields.ts";
import { formatPrivateKey, parsePrivateKey } from "../../src/ssh/keys/private-text.ts";
import { parsePublicKey } from "../../src/ssh/keys/public.ts";
import { signerOf, signMessage } from "../../src/ssh/keys/sshsig.ts";
import { parsePublicKeyLine } from "../../src/ssh/keys/text.ts";
import { receive, type SinkFolder } from "../../src/ssh/scp/sink.ts";
import { decodeModes, encodeModes } from "../../src/ssh/session/modes.ts";
import { readSessionRequest, sessionRequests } from "../../src/ssh/session/requests.ts";
import { PacketReader } from "../../src/ssh/transport/reader.ts";
import { VersionReader } from "../../src/ssh/transport/version.ts";
import * as agent from "../../src/ssh/wire/agent.ts";
import { Reader, text, Writer } from "../../src/ssh/wire/codec.ts";
import * as connection from "../../src/ssh/wire/connection.ts";
import * as kex from "../../src/ssh/wire/kex.ts";
import * as transport from "../../src/ssh/wire/transport.ts";
import * as userauth from "../../src/ssh/wire/userauth.ts";
import type { Target } from "./target.ts";

const folder = new URL("../vectors/keys/", import.meta.url);
const vector = (name: string): string => readFileSync(new URL(name, folder), "utf8");
const lines = globSync("*.pub", { cwd: folder }).sort();
const blobs = lines.map((name) => Buffer.from(vector(name).split(" ")[1] ?? "", "base64"));
const privateNames = ["ed25519", "ecdsa256", "ecdsa521", "rsa2048"];
const latin1 = (input: Uint8Array): string => Buffer.from(input).toString("latin1");
const ascii = (word: string): Buffer => Buffer.from(word, "latin1");

const kilobytes = 1024;
const keyFaults = ["protocol", "bad_parameter", "access_denied"] as const;
const wireFaults = ["protocol"] as const;

interface Codec {
  readonly id?: number;
  decode(payload: Uint8Array): object;
  encode(values: never): Uint8Array;
}
const isCodec = (value: unknown): value is Codec =>
  typeof value === "object" && value !== null && "decode" in value && "encode" in value;
const everything: Record<string, unknown> = {
  ...{ ...agent, ...connection, ...kex, ...transport, ...userauth, ...forward, ...sessionRequests },
};
const codecs = Object.values(everything).filter(isCodec);

/** Every message: the first byte chooses which. What decodes must encode to what decodes the same. */
const wire: Target = {
  name: "wire",
  seeds: () => codecs.map((_, i) => Uint8Array.of(i, 0, 0, 0, 1, 65, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0)),
  run(input) {
    const codec = codecs[(input[0] ?? 0) % codecs.length] as Codec;
    const id = codec.id === undefined ? [] : [codec.id];
    const value = codec.decode(Uint8Array.of(...id, ...input.subarray(1)));
    const encoded = codec.encode(value as never);
    const again = codec.encode(codec.decode(encoded) as never);
    if (Buffer.compare(again, encoded) !== 0) throw new Error("encoding is not stable");
  },
  faults: wireFaults,
  slack: 64 * kilobytes,
};

const negotiation: Target = {
  name: "negotiation",
  seeds: () => [transport.KexInit.encode(kexInit("client", offer(), new Uint8Array(16), true))],
  run(input) {
    const theirs = transport.KexInit.decode(input);
    for (const role of ["client", "server"] as const) {
      try {
        negotiate(role, offer(), theirs);
      } catch (err) {
        if (!Fault.is(err, "protocol")) throw err;
      }
    }
  },
  faults: wireFaults,
  slack: 64 * kilobytes,
};

const publicKeys: Target = {
  name: "public-keys",
  seeds: () => blobs,
  run(input) {
    const key = parsePublicKey(input);
    if (Buffer.compare(key.blob, input) !== 0) throw new Error("the key is not what was read");
    checkCertificate(key, {
      type: "user",
      isAuthority: () => true,
      now: Date.UTC(2026, 6),
      sourceAddress: "10.0.0.1",
    });
  },
  faults: keyFaults,
  slack: 256 * kilobytes,
};

const own = parsePrivateKey(vector("ed25519")).key;
const verifying = privateNames.map((name) => parsePrivateKey(vector(name)).key);

/** The first byte chooses the key. No signature but the seeds' own verifies, and none throws. */
const signatures: Target = {
  name: "signatures",
  seeds: () =>
    Promise.all(
      verifying.map(async (key, i) => {
        const [algorithm = ""] = key.publicKey.algorithms;
        return Buffer.concat([Uint8Array.of(i), await key.signer().sign(ascii("data"), algorithm)]);
      }),
    ),
  run(input) {
    const { publicKey } = verifying[(input[0] ?? 0) % verifying.length] as (typeof verifying)[number];
    for (const algorithm of publicKey.algorithms)
      publicKey.verify(ascii("other data"), input.subarray(1), algorithm);
  },
  faults: [],
  slack: 256 * kilobytes,
};

/** What a proxy vouches for comes with one, before anybody has logged in. */
const messageSignatures: Target = {
  name: "message-signatures",
  seeds: () => Promise.all(verifying.map((key) => signMessage(key.signer(), "fuzz", ascii("data")))),
  run: (input) => void signerOf(input, "fuzz", ascii("data")),
  faults: keyFaults,
  slack: 256 * kilobytes,
};

const privateFields: Target = {
  name: "private-fields",
  seeds: () =>
    verifying.map((key) => {
      const w = new Writer();
      writePrivateKey(w, { key });
      return w.finish();
    }),
  run(input) {
    const r = new Reader(input);
    readPrivateKey(text.read(r), r);
  },
  faults: keyFaults,
  slack: 256 * kilobytes,
};

/** The body of an OpenSSH key file; the armour round it is the next target's. */
const privateFiles: Target = {
  name: "private-files",
  seeds: () =>
    verifying.map((key) => Buffer.from(formatPrivateKey(key).split("\n").slice(1, -2).join(""), "base64")),
  run(input) {
    const body = Buffer.from(input).toString("base64");
    parsePrivateKey(`-----BEGIN OPENSSH PRIVATE KEY-----\n${body}\n-----END OPENSSH PRIVATE KEY-----`);
  },
  faults: keyFaults,
  slack: 256 * kilobytes,
};

const pem: Target = {
  name: "pem",
  seeds: () =>
    ["rsa2048-pkcs1.pem", "rsa2048-pkcs8.pem", "ecdsa256-sec1.pem", "ecdsa256-pkcs8.pem", "ed25519"].map(
      (name) => ascii(vector(name)),
    ),
  run: (input) => void parsePrivateKey(latin1(input)),
  faults: keyFaults,
  slack: 512 * kilobytes,
};

const keyLines: Target = {
  name: "key-lines",
  seeds: () =>
    lines.flatMap((name) =>
      [
        "",
        'cert-authority,from="10.0.0.0/8,\\"x" ',
        "*.example.com,!db ",
        "|1|aa==|bb== ",
        "@revoked * ",
      ].map((prefix) => ascii(prefix + vector(name))),
    ),
  run(input) {
    const line = latin1(input);
    inAddressList(line, "10.0.0.1");
    for (const host of parseKnownHosts(line)) matchesHost(host.hosts, "db.example.com");
    parsePublicKeyLine(line);
  },
  faults: keyFaults,
  slack: 256 * kilobytes,
};

const sessions: Target = {
  name: "session-requests",
  seeds: () => [
    Buffer.concat([ascii("pty-req\0"), encodeModes(new Map([[1, 3]]))]),
    ...Object.keys(sessionRequests).map((name) => ascii(`${name}\0\0\0\0\x01a\0\0\0\x01b`)),
  ],
  run(input) {
    const end = input.indexOf(0);
    const [name, payload] = [latin1(input.subarray(0, Math.max(0, end))), input.subarray(end + 1)];
    decodeModes(payload);
    readSessionRequest(name, payload);
  },
  faults: wireFaults,
  slack: 64 * kilobytes,
};

/** In pieces whose size the first byte says. */
function* inPieces(input: Uint8Array): Generator<Buffer> {
  const size = 1 + (input[0] ?? 0);
  for (let at = 1; at < input.length; at += size) yield Buffer.from(input.slice(at, at + size));
}

const versions: Target = {
  name: "version-lines",
  seeds: () => [
    ascii("\x40SSH-2.0-OpenSSH_9.2\r\nrest"),
    ascii("\x03hello\r\nSSH-1.99-x\n"),
    ascii('\x10Teleport-Proxy{"clientAddr":"192.0.2.1:5"}\0SSH-2.0-x\r\n'),
  ],
  run(input) {
    for (const peer of ["client", "server"] as const) {
      const reader = new VersionReader(peer);
      try {
        for (const piece of inPieces(input)) if (reader.push(piece)) break;
      } catch (err) {
        if (!Fault.is(err, "protocol")) throw err;
      }
    }
  },
  faults: wireFaults,
  slack: 64 * kilobytes,
};

const packets: Target = {
  name: "packets",
  seeds: () => [
    Buffer.concat([Uint8Array.of(7), Buffer.from("0000000c0a0200000000000000000000", "hex")]),
    Buffer.concat([Uint8Array.of(1), Buffer.from("0000000c0402000000000000000000000000000c", "hex")]),
  ],
  run(input) {
    const reader = new PacketReader();
    for (const piece of inPieces(input)) {
      reader.push(piece);
      while (reader.next() !== undefined);
    }
  },
  faults: wireFaults,
  slack: 64 * kilobytes,
};

const agentFrames: Target = {
  name: "agent-frames",
  seeds: () => [Buffer.from("09000000010b000000020c00", "hex"), Buffer.from("0000000005", "hex")],
  async run(input) {
    for await (const message of messages(Readable.from(inPieces(input))))
      for (const codec of Object.values(agent as Record<string, unknown>).filter(isCodec)) {
        if (codec.id === message[0]) codec.decode(message);
      }
  },
  faults: wireFaults,
  slack: 512 * kilobytes,
};

const scp: Target = {
  name: "scp",
  seeds: () => [
    ascii("\x40C0644 5 name\nhello\0E\n"),
    ascii("\x05T1 0 2 0\nD0755 0 dir\nC0600 1 a\nx\0E\n"),
    ascii("\x40\x01warning\n\x02fatal\n"),
  ],
  async run(input) {
    const into: SinkFolder = {
      file: async () => ({ write: async () => {}, close: async () => {} }),
      directory: async () => into,
      done: async () => {},
    };
    await receive({ input: Readable.from(inPieces(input)), write: async () => {} }, into, {
      recursive: true,
    });
  },
  faults: wireFaults,
  slack: 256 * kilobytes,
};

export const ownKey = own;
export const keyBlobs: readonly Uint8Array[] = blobs;
export const decoders: readonly Target[] = [
  ...[
    wire,
    negotiation,
    publicKeys,
    signatures,
    messageSignatures,
    privateFields,
    privateFiles,
    pem,
    keyLines,
    sessions,
  ],
  ...[versions, packets, agentFrames, scp],
];
