import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { suite, test } from "node:test";
import fc from "fast-check";
import { inAddressList } from "#core/cidr";
import { Fault } from "#core/errors";
import {
  AddIdentity,
  AddIdentityConstrained,
  Extension,
  ExtensionResponse,
  IdentitiesAnswer,
  Lock,
  RemoveIdentity,
  SessionBind,
  SignRequest,
  SignResponse,
} from "../wire/agent.ts";
import { Reader, text, Writer } from "../wire/codec.ts";
import { checkCertificate } from "./check.ts";
import { issueCertificate } from "./issue.ts";
import { matchesHost, parseKnownHosts } from "./known-hosts.ts";
import { readPrivateKey, writePrivateKey } from "./private-fields.ts";
import { formatPrivateKey, parsePrivateKey } from "./private-text.ts";
import { parsePublicKey, sameKey } from "./public.ts";
import { formatPublicKeyLine, parsePublicKeyLine } from "./text.ts";

const folder = new URL("../../../test/vectors/keys/", import.meta.url);
const vector = (name: string): string => readFileSync(new URL(name, folder), "utf8");
const numRuns = Number(process.env.FUZZ_RUNS ?? 1500);

const lines = globSync("*.pub", { cwd: folder }).sort();
const publicLines = lines.filter((name) => name !== "dsa.pub" && name !== "rsa1024.pub");
const blobs = lines.map((name) => Buffer.from(vector(name).split(" ")[1] ?? "", "base64"));
const privateNames = ["ed25519", "ecdsa256", "ecdsa521", "rsa2048"];

/** A good value with something done to it that a careless parser trips over. */
function mutated(seeds: readonly Uint8Array[]): fc.Arbitrary<Buffer> {
  const change = fc.record({
    at: fc.double({ min: 0, max: 0.999, noNaN: true }),
    how: fc.constantFrom("flip", "set", "length", "cut", "insert", "repeat"),
    value: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)),
  });
  return fc
    .tuple(fc.constantFrom(...seeds), fc.array(change, { minLength: 1, maxLength: 4 }))
    .map(([seed, changes]) => {
      let bytes: Buffer = Buffer.from(seed);
      for (const { at: where, how, value } of changes) {
        const at = Math.floor(where * bytes.length);
        if (bytes.length < 8) break;
        if (how === "flip") bytes[at] = (bytes[at] as number) ^ (1 << (value & 7));
        else if (how === "set") bytes[at] = value;
        else if (how === "length")
          bytes.writeUInt32BE(value * (value & 1 ? 0x0101_0101 : 1), Math.min(at, bytes.length - 4));
        else if (how === "cut") bytes = bytes.subarray(0, at);
        else if (how === "insert")
          bytes = Buffer.concat([bytes.subarray(0, at), Uint8Array.of(value), bytes.subarray(at)]);
        else bytes = Buffer.concat([bytes, bytes.subarray(at)]);
      }
      return bytes;
    });
}

/** Runs `read` and lets only the faults pass that hostile input may cause; `undefined` then. */
function orFault<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (err) {
    if (Fault.is(err, "protocol") || Fault.is(err, "bad_parameter") || Fault.is(err, "access_denied"))
      return undefined;
    throw err;
  }
}

suite("S05: hostile bytes give a value or a typed fault, never another throw", () => {
  test("public keys and certificates; what is read is written back the same", () => {
    fc.assert(
      fc.property(mutated(blobs), (blob) => {
        const key = orFault(() => parsePublicKey(blob));
        if (!key) return;
        assert.equal(Buffer.compare(key.blob, blob), 0);
        orFault(() =>
          checkCertificate(key, {
            type: "user",
            isAuthority: () => true,
            now: Date.UTC(2026, 6),
            sourceAddress: "10.0.0.1",
          }),
        );
      }),
      { numRuns },
    );
  });

  for (const name of privateNames) {
    const { key } = parsePrivateKey(vector(name));
    const data = Buffer.from("data");

    test(`signatures of ${name}: a changed one never verifies and never throws`, async () => {
      const [algorithm = ""] = key.publicKey.algorithms;
      const good = await key.signer().sign(data, algorithm);
      fc.assert(
        fc.property(mutated([good]), (bad) => {
          const same = Buffer.compare(bad, good) === 0;
          assert.equal(key.publicKey.verify(data, bad, algorithm), same);
        }),
        { numRuns: Math.ceil(numRuns / 3) },
      );
    });

    test(`private key fields of ${name}`, () => {
      const w = new Writer();
      writePrivateKey(w, { key });
      fc.assert(
        fc.property(mutated([w.finish()]), (blob) => {
          const r = new Reader(blob);
          orFault(() => readPrivateKey(text.read(r), r));
        }),
        { numRuns: Math.ceil(numRuns / 5) },
      );
    });
  }

  test("OpenSSH private key files", () => {
    const bodies = privateNames.map((name) =>
      Buffer.from(
        formatPrivateKey(parsePrivateKey(vector(name)).key)
          .split("\n")
          .slice(1, -2)
          .join(""),
        "base64",
      ),
    );
    fc.assert(
      fc.property(mutated(bodies), (body) => {
        const file = `-----BEGIN OPENSSH PRIVATE KEY-----\n${body.toString("base64")}\n-----END OPENSSH PRIVATE KEY-----`;
        orFault(() => parsePrivateKey(file));
      }),
      { numRuns },
    );
  });

  test("PEM private keys", () => {
    const files = ["rsa2048-pkcs1.pem", "rsa2048-pkcs8.pem", "ecdsa256-sec1.pem", "ecdsa256-pkcs8.pem"];
    const seeds = files.map((name) => Buffer.from(vector(name)));
    fc.assert(
      fc.property(mutated(seeds), (file) => {
        orFault(() => parsePrivateKey(file.toString("latin1")));
      }),
      { numRuns: Math.ceil(numRuns / 3) },
    );
  });

  test("public key lines and known_hosts", () => {
    const seeds = lines.flatMap((name) =>
      ["", 'cert-authority,from="10.0.0.0/8,\\"x" ', "*.example.com,!db ", "|1|aa==|bb== "].map((prefix) =>
        Buffer.from(prefix + vector(name)),
      ),
    );
    fc.assert(
      fc.property(mutated(seeds), (line) => {
        const text = line.toString("latin1");
        const read = orFault(() => parsePublicKeyLine(text));
        if (read) orFault(() => formatPublicKeyLine(read));
        for (const host of orFault(() => parseKnownHosts(text)) ?? [])
          matchesHost(host.hosts, "db.example.com");
      }),
      { numRuns },
    );
  });

  test("agent messages", () => {
    const key = blobs[0] as Buffer;
    const w = new Writer();
    writePrivateKey(w, { key: parsePrivateKey(vector("ed25519")).key });
    const binding = SessionBind.encode({ hostKey: key, sessionId: key, signature: key, forwarding: true });
    const kinds = [
      ...[IdentitiesAnswer, SignRequest, SignResponse, RemoveIdentity, AddIdentity],
      ...[Lock, Extension, ExtensionResponse, SessionBind],
    ];
    const seeds = [
      IdentitiesAnswer.encode({ keys: blobs.slice(0, 3).map((blob) => ({ key: blob, comment: "a" })) }),
      SignRequest.encode({ key, data: key, flags: 4 }),
      SignResponse.encode({ signature: key }),
      RemoveIdentity.encode({ key }),
      AddIdentity.encode({ identity: w.finish() }),
      AddIdentityConstrained.encode({ identity: w.finish() }),
      Lock.encode({ passphrase: key }),
      Extension.encode({ extension: "session-bind@openssh.com", contents: binding }),
      ExtensionResponse.encode({ extension: "query", contents: binding }),
      binding,
    ];
    fc.assert(
      fc.property(mutated(seeds), (message) => {
        for (const kind of kinds) orFault(() => kind.decode(message));
      }),
      { numRuns },
    );
  });

  test("any bytes at all", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        orFault(() => parsePublicKey(bytes));
        orFault(() => parsePublicKeyLine(Buffer.from(bytes).toString("latin1")));
      }),
      { numRuns },
    );
  });
});

suite("round trips", () => {
  test("a certificate says what was asked for, whatever that is", async () => {
    const authority = parsePrivateKey(vector("ca-ed25519")).key.signer();
    const keys = publicLines
      .map((name) => parsePublicKeyLine(vector(name)).key)
      .filter((key) => !key.certificate && !sameKey(key, authority.publicKey));
    const name = fc.stringMatching(/^[a-z0-9._@:-]{1,20}$/);
    const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 2n });
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          key: fc.constantFrom(...keys),
          type: fc.constantFrom("user" as const, "host" as const),
          keyId: fc.string({ unit: "grapheme" }),
          serial: u64,
          principals: fc.array(name, { minLength: 1, maxLength: 9 }),
          validAfter: u64,
          extensions: fc
            .array(fc.tuple(name, fc.string({ unit: "grapheme" })))
            .map((pairs) => new Map(pairs)),
        }),
        async (asked) => {
          const request = { ...asked, validBefore: asked.validAfter + 1n };
          const { certificate } = await issueCertificate(request, authority);
          assert.ok(certificate);
          const { key, extensions, ...says } = request;
          assert.deepEqual({ ...certificate, ...says }, certificate);
          assert.deepEqual(new Map(certificate.extensions), extensions);
          assert.equal(Buffer.compare(certificate.key.blob, key.blob), 0);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("options and comment of a public key line come back", () => {
    const { key } = parsePublicKeyLine(vector("ed25519.pub"));
    const word = fc.stringMatching(/^[a-z-]{1,9}$/);
    const printable = fc.string().map((s) => s.trim());
    fc.assert(
      fc.property(fc.array(fc.tuple(word, printable)), printable, (pairs, comment) => {
        const options = new Map(pairs.filter(([, value]) => !/\\("|$)/.test(value)));
        const line = parsePublicKeyLine(formatPublicKeyLine({ key, options, comment }));
        assert.deepEqual(line.options, options);
        assert.equal(line.comment, comment);
      }),
    );
  });

  test("an address is in a range of itself, and a list with a broken entry is no list", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(32), (address, bits) => {
        assert.equal(inAddressList(`${address}/${bits}`, address), true);
        assert.equal(inAddressList(`${address}/${bits},`, address), undefined);
      }),
    );
  });
});
