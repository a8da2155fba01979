import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { duplexPair } from "node:stream";
import { suite, test } from "node:test";
import { second } from "#core/clock";
import { Fault } from "#core/errors";
import type { PublicKey } from "../keys/key.ts";
import { readPrivateKey, writePrivateKey } from "../keys/private-fields.ts";
import { parsePrivateKey } from "../keys/private-text.ts";
import { sameKey } from "../keys/public.ts";
import { parsePublicKeyLine } from "../keys/text.ts";
import { agent, say } from "../testing/agent.ts";
import {
  AddIdentity,
  AddIdentityConstrained,
  AgentFailure,
  AgentSuccess,
  IdentitiesAnswer,
  messageId,
  RemoveAllIdentities,
  RequestIdentities,
  SignRequest,
  SignResponse,
} from "../wire/agent.ts";
import { Reader, text, Writer } from "../wire/codec.ts";
import { Signature } from "../wire/keys.ts";
import { AgentClient } from "./client.ts";
import { frame, maxMessage, messages } from "./framing.ts";

const vector = (name: string): string =>
  readFileSync(new URL(`../../../test/vectors/keys/${name}`, import.meta.url), "utf8");
const publicKey = (name: string): PublicKey => parsePublicKeyLine(vector(`${name}.pub`)).key;
const pair = (name: string) => ({ key: parsePrivateKey(vector(name)).key });
const certified = (name: string) => ({ ...pair(name), certificate: publicKey(`${name}-user-cert`) });
const data = Buffer.from("what is signed");

suite("an agent and its client", () => {
  for (const name of ["ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa2048"]) {
    test(`${name}, plain and certified, is added, listed, and signs`, async () => {
      const { near } = agent();
      using client = new AgentClient(near);
      await client.add(certified(name), { comment: "teleport:joe" });
      await client.add(pair(name), { comment: "teleport:joe" });
      const held = await client.identities();
      assert.deepEqual(
        held.map(({ comment, publicKey: { type } }) => [comment, type]),
        [
          ["teleport:joe", publicKey(`${name}-user-cert`).type],
          ["teleport:joe", publicKey(name).type],
        ],
      );
      for (const identity of held) {
        for (const algorithm of identity.publicKey.algorithms) {
          const signature = await identity.sign(data, algorithm);
          assert.ok(publicKey(name).verify(data, signature, algorithm));
        }
      }
    });
  }

  test("what is signed under a certified name carries the plain one", async () => {
    const { near } = agent();
    using client = new AgentClient(near);
    await client.add(certified("rsa2048"), { comment: "" });
    const [identity] = await client.identities();
    const signature = await identity?.sign(data, "rsa-sha2-256-cert-v01@openssh.com");
    assert.ok(signature && publicKey("rsa2048").verify(data, signature, "rsa-sha2-256"));
    await assert.rejects(identity?.sign(data, "ssh-rsa") ?? Promise.resolve(), (err) =>
      Fault.is(err, "bad_parameter"),
    );
  });

  test("keys are removed one by one or by their comment", async () => {
    const { near, keyring } = agent();
    using client = new AgentClient(near);
    await client.add(certified("ed25519"), { comment: "teleport:joe" });
    await client.add(pair("ed25519"), { comment: "teleport:joe" });
    await client.add(pair("rsa2048"), { comment: "mine" });
    await client.add(pair("ecdsa256"), { comment: "teleport:eve" });
    assert.equal(await client.removeWhere((comment) => comment === "teleport:joe"), 2);
    assert.deepEqual(
      keyring.list().map(({ comment }) => comment),
      ["mine", "teleport:eve"],
    );
    await client.remove(publicKey("rsa2048"));
    assert.deepEqual(
      keyring.list().map(({ comment }) => comment),
      ["teleport:eve"],
    );
    await assert.rejects(client.remove(publicKey("rsa2048")), (err) => Fault.is(err, "access_denied"));
  });

  test("adding a key again replaces it", async () => {
    const { near } = agent();
    using client = new AgentClient(near);
    await client.add(pair("ed25519"), { comment: "old" });
    await client.add(pair("ed25519"), { comment: "new" });
    assert.deepEqual(
      (await client.identities()).map(({ comment }) => comment),
      ["new"],
    );
  });

  test("a key with a lifetime is gone when it is over", async () => {
    const { near, clock } = agent();
    using client = new AgentClient(near);
    await client.add(pair("ed25519"), { comment: "short", lifetime: 60 });
    await client.add(pair("rsa2048"), { comment: "long" });
    await clock.advance(60 * second - 1);
    const [short] = await client.identities();
    assert.equal(short?.comment, "short");
    await clock.advance(1);
    assert.deepEqual(
      (await client.identities()).map(({ comment }) => comment),
      ["long"],
    );
    await assert.rejects(short?.sign(data, "ssh-ed25519") ?? Promise.resolve(), (err) =>
      Fault.is(err, "access_denied"),
    );
  });

  test("requests at once are answered each with its own", async () => {
    const { near } = agent();
    using client = new AgentClient(near);
    await client.add(pair("ed25519"), { comment: "" });
    const [identity] = await client.identities();
    assert.ok(identity);
    const texts = Array.from({ length: 10 }, (_, i) => Uint8Array.of(i));
    const signatures = await Promise.all(texts.map((message) => identity.sign(message, "ssh-ed25519")));
    for (const [i, signature] of signatures.entries())
      assert.ok(identity.publicKey.verify(texts[i] as Uint8Array, signature, "ssh-ed25519"));
  });

  test("a full agent refuses, and can still be listed", async () => {
    const { near, keyring } = agent();
    using client = new AgentClient(near);
    await client.add(pair("ed25519"), { comment: "x".repeat(60_000) });
    await assert.rejects(client.add(pair("rsa2048"), { comment: "x".repeat(60_000) }), (err) =>
      Fault.is(err, "access_denied"),
    );
    assert.equal((await client.identities()).length, 1);
    assert.equal(keyring.list().length, 1);
  });
});

suite("an agent client and a bad agent", () => {
  async function ask<T>(reply: Uint8Array, what: (client: AgentClient) => Promise<T>): Promise<T> {
    const [near, far] = duplexPair();
    using client = new AgentClient(near);
    far.once("data", () => far.end(reply));
    return await what(client);
  }
  const identities = (client: AgentClient) => client.identities();
  const key = publicKey("rsa2048");

  for (const [why, reply, kind] of [
    ["closes", new Uint8Array(0), "unreachable"],
    ["refuses", frame(AgentFailure.encode({})), "access_denied"],
    ["says success for a list", frame(AgentSuccess.encode({})), "access_denied"],
    ["ends inside a message", frame(RequestIdentities.encode({})).subarray(0, 4), "protocol"],
    ["sends an empty message", new Uint8Array(4), "protocol"],
    ["announces too much", Uint8Array.of(0x7f, 0xff, 0xff, 0xff), "protocol"],
    ["counts more keys than it sends", frame(Uint8Array.of(12, 0xff, 0xff, 0xff, 0xff)), "protocol"],
    ["sends bytes after its keys", frame(Uint8Array.of(12, 0, 0, 0, 0, 1)), "protocol"],
  ] as const) {
    test(`an agent that ${why}: ${kind}`, async () => {
      await assert.rejects(ask(reply, identities), (err) => Fault.is(err, kind));
    });
  }

  test("an agent whose stream breaks is unreachable, also for the next request", async () => {
    const [near] = duplexPair();
    const client = new AgentClient(near);
    near.destroy(new Error("gone"));
    await assert.rejects(client.identities(), (err) => Fault.is(err, "unreachable"));
    await assert.rejects(client.identities(), (err) => Fault.is(err, "unreachable"));
  });

  test("keys of unknown kinds and odd comments do not hide the others", async () => {
    const odd = new Writer();
    odd.bytes(Uint8Array.of(12, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 1, 0xff));
    odd.uint32(key.blob.length);
    odd.bytes(key.blob);
    odd.bytes(Uint8Array.of(0, 0, 0, 1, 0xff));
    const held = await ask(frame(odd.finish()), identities);
    assert.equal(held.length, 1);
    assert.ok(held[0] && sameKey(held[0].publicKey, key));
  });

  test("a SHA-1 signature where SHA-2 was asked for is a protocol fault", async () => {
    const [near, far] = duplexPair();
    using client = new AgentClient(near);
    const script = [
      IdentitiesAnswer.encode({ keys: [{ key: key.blob, comment: "" }] }),
      SignResponse.encode({
        signature: Signature.encode({
          algorithm: "ssh-rsa",
          blob: new Uint8Array(256),
          extra: new Uint8Array(0),
        }),
      }),
    ];
    far.on("data", () => far.write(frame(script.shift() as Uint8Array)));
    const [identity] = await client.identities();
    await assert.rejects(identity?.sign(data, "rsa-sha2-512") ?? Promise.resolve(), (err) =>
      Fault.is(err, "protocol"),
    );
  });
});

suite("an agent and a bad client", () => {
  const identity = (name: string, after: Uint8Array = new Uint8Array(0)): Uint8Array => {
    const w = new Writer();
    writePrivateKey(w, pair(name));
    text.write(w, "comment");
    w.bytes(after);
    return w.finish();
  };
  const { id: failure } = AgentFailure;
  const { id: success } = AgentSuccess;

  for (const [what, constraint] of [
    ["to be confirmed", "02"],
    ["restricted by an extension", "ff000000047265737400000000"],
    ["under an unknown constraint", "07"],
    ["under an unknown constraint as long as a lifetime", "070000003c"],
    ["to be confirmed, with bytes as long as a lifetime behind", "020000003c"],
    ["with a lifetime and then to be confirmed", "010000003c02"],
    ["with a lifetime cut short", "0100"],
  ] as const) {
    test(`S60: a key ${what} is not held at all`, async () => {
      const { near, keyring } = agent();
      const request = AddIdentityConstrained.encode({
        identity: identity("ed25519", Uint8Array.fromHex(constraint)),
      });
      assert.deepEqual(await say(near, [request]), [failure]);
      assert.equal(keyring.list().length, 0);
    });
  }

  test("S60: constraints in a request without constraints are refused", async () => {
    const { near, keyring } = agent();
    const request = AddIdentity.encode({ identity: identity("ed25519", Uint8Array.of(2)) });
    assert.deepEqual(await say(near, [request]), [failure]);
    assert.equal(keyring.list().length, 0);
  });

  test("S60: over a forwarded connection keys are listed and sign, and nothing is loaded or removed", async () => {
    const { near, keyring } = agent("forwarded");
    keyring.add({ signer: pair("ed25519").key.signer(), comment: "mine" });
    const { blob } = publicKey("ed25519");
    const provider = Uint8Array.of(20, ...frame(Buffer.from("/tmp/evil.so")), 0, 0, 0, 0);
    const requests = [
      AddIdentity.encode({ identity: identity("rsa2048") }),
      AddIdentityConstrained.encode({ identity: identity("rsa2048", Uint8Array.of(1, 0, 0, 0, 9)) }),
      Uint8Array.of(18, ...frame(blob)),
      RemoveAllIdentities.encode({}),
      provider,
      Uint8Array.of(26, ...provider.subarray(1)),
      Uint8Array.of(22, 0, 0, 0, 0),
      Uint8Array.of(27, ...frame(Buffer.from("session-bind@openssh.com"))),
    ];
    assert.deepEqual(
      await say(near, requests),
      requests.map(() => failure),
    );
    assert.deepEqual(
      keyring.list().map(({ comment }) => comment),
      ["mine"],
    );
  });

  test("S60: not even its owner can make the agent load a library", async () => {
    const { near } = agent();
    const provider = Uint8Array.of(20, ...frame(Buffer.from("/tmp/evil.so")), 0, 0, 0, 0);
    assert.deepEqual(await say(near, [provider, Uint8Array.of(26, ...provider.subarray(1))]), [
      failure,
      failure,
    ]);
  });

  test("S26: a certificate inside a certified key must be that key's", async () => {
    const { near, keyring } = agent();
    const w = new Writer();
    writePrivateKey(w, { ...pair("ed25519"), certificate: publicKey("ed25519-user-cert") });
    text.write(w, "");
    const good = w.finish();
    const other = Buffer.from(identity("ed25519"));
    assert.deepEqual(await say(near, [AddIdentity.encode({ identity: good })]), [success]);
    keyring.removeAll();
    const typeOnly = Buffer.concat([
      good.subarray(0, 4 + "ssh-ed25519-cert-v01@openssh.com".length),
      other.subarray(15),
    ]);
    const { near: next, keyring: empty } = agent();
    assert.deepEqual(await say(next, [AddIdentity.encode({ identity: typeOnly })]), [failure]);
    assert.equal(empty.list().length, 0);
  });

  test("an RSA key asked for SHA-1 does not sign, and neither does a key the agent does not hold", async () => {
    const { near, keyring } = agent();
    keyring.add({ signer: pair("rsa2048").key.signer(), comment: "" });
    const ask = (name: string, flags: number) =>
      SignRequest.encode({ key: publicKey(name).blob, data, flags });
    const requests = [ask("rsa2048", 0), ask("ed25519", 0), ask("rsa2048-user-cert", 4), ask("rsa2048", 4)];
    assert.deepEqual(await say(near, requests), [failure, failure, failure, SignResponse.id]);
  });

  test("malformed requests are refused and the connection goes on", async () => {
    const { near } = agent();
    const requests = [
      Uint8Array.of(13),
      Uint8Array.of(17, 1),
      Uint8Array.of(11, 0),
      Uint8Array.of(99),
      Uint8Array.of(18),
    ];
    const last = RequestIdentities.encode({});
    assert.deepEqual(await say(near, [...requests, last]), [
      ...requests.map(() => failure),
      IdentitiesAnswer.id,
    ]);
  });

  for (const length of [0, maxMessage + 1]) {
    test(`a message of ${length} bytes ends the connection`, async () => {
      const { near, served } = agent();
      const header = Buffer.alloc(4);
      header.writeUInt32BE(length);
      near.write(header);
      await assert.rejects(served, (err) => Fault.is(err, "protocol"));
    });
  }

  test("messages may come in any pieces", async () => {
    const { near } = agent();
    const replies = messages(near);
    const two = Buffer.concat([frame(RequestIdentities.encode({})), frame(RequestIdentities.encode({}))]);
    for (const byte of two) near.write(Uint8Array.of(byte));
    near.write(two);
    for (let i = 0; i < 4; i++)
      assert.equal(messageId((await replies.next()).value as Uint8Array), IdentitiesAnswer.id);
  });

  test("serving ends when the peer does", async () => {
    const { near, served } = agent();
    near.end();
    await served;
  });
});

test("a private key on the wire reads back without its owner's comment", () => {
  const w = new Writer();
  writePrivateKey(w, pair("ecdsa521"));
  const r = new Reader(w.finish());
  assert.ok(sameKey(readPrivateKey(text.read(r), r).key.publicKey, publicKey("ecdsa521")));
});
