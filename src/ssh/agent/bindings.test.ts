import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import type { PublicKey } from "../keys/key.ts";
import { parsePrivateKey } from "../keys/private-text.ts";
import { parsePublicKeyLine } from "../keys/text.ts";
import { agent, say } from "../testing/agent.ts";
import {
  AgentFailure,
  AgentSuccess,
  Extension,
  ExtensionResponse,
  IdentitiesAnswer,
  Lock,
  messageId,
  RemoveAllIdentities,
  RequestIdentities,
  SessionBind,
} from "../wire/agent.ts";
import { Reader, text } from "../wire/codec.ts";
import { frame, messages } from "./framing.ts";

const vector = (name: string): string =>
  readFileSync(new URL(`../../../test/vectors/keys/${name}`, import.meta.url), "utf8");
const _publicKey = (name: string): PublicKey => parsePublicKeyLine(vector(`${name}.pub`)).key;
const pair = (name: string) => ({ key: parsePrivateKey(vector(name)).key });
const data = Buffer.from("what is signed");

suite("an agent that is told of sessions", () => {
  const { id: failure } = AgentFailure;
  const { id: success } = AgentSuccess;
  const sessionId = Buffer.from("the exchange hash");
  type Binding = { name?: string; session?: Uint8Array; signed?: Uint8Array; forwarding: boolean };

  async function bind({
    name = "ed25519",
    session = sessionId,
    signed = session,
    forwarding,
  }: Binding): Promise<Uint8Array> {
    const { key } = pair(name);
    const signature = await key.signer().sign(signed, key.publicKey.algorithms[0] as string);
    const contents = SessionBind.encode({
      hostKey: key.publicKey.blob,
      sessionId: session,
      signature,
      forwarding,
    });
    return Extension.encode({ extension: "session-bind@openssh.com", contents });
  }

  test("S60: takes changes no more from a connection that was bound for forwarding", async () => {
    const { near, keyring } = agent();
    keyring.add({ signer: pair("rsa2048").key.signer(), comment: "mine" });
    const requests = [
      await bind({ forwarding: true }),
      RemoveAllIdentities.encode({}),
      Lock.encode({ passphrase: data }),
      RequestIdentities.encode({}),
    ];
    assert.deepEqual(await say(near, requests), [success, failure, failure, IdentitiesAnswer.id]);
    assert.equal(keyring.list().length, 1);
  });

  test("still takes them from one that was bound for a login here", async () => {
    const { near } = agent();
    const requests = [await bind({ forwarding: false }), RemoveAllIdentities.encode({})];
    assert.deepEqual(await say(near, requests), [success, success]);
  });

  test("refuses a binding that the host key did not sign, or that breaks off or goes on", async () => {
    const { near } = agent();
    const good = await bind({ forwarding: false });
    const requests = [
      await bind({ forwarding: true, signed: Buffer.from("another session") }),
      good.subarray(0, -1),
      Buffer.concat([good, Uint8Array.of(0)]),
      good,
    ];
    assert.deepEqual(await say(near, requests), [failure, failure, failure, success]);
  });

  test("refuses to bind on from a login, one session by two keys, and a seventeenth", async () => {
    const login = agent();
    const after = [await bind({ forwarding: false }), await bind({ forwarding: true, session: data })];
    assert.deepEqual(await say(login.near, after), [success, failure]);

    const twice = agent();
    const keys = [
      await bind({ forwarding: true }),
      await bind({ forwarding: true }),
      await bind({ name: "ecdsa256", forwarding: true }),
    ];
    assert.deepEqual(await say(twice.near, keys), [success, success, failure]);

    const many = agent();
    const sessions = Array.from({ length: 17 }, (_, i) =>
      bind({ session: Uint8Array.of(i), forwarding: true }),
    );
    const ids = await say(many.near, await Promise.all(sessions));
    assert.deepEqual([ids.filter((id) => id === success).length, ids.at(-1)], [16, failure]);
  });

  test("names its extensions when asked, and refuses those of others", async () => {
    const { near } = agent();
    const none = new Uint8Array(0);
    const replies = messages(near);
    near.write(frame(Extension.encode({ extension: "query", contents: none })));
    const { value } = await replies.next();
    const { extension, contents } = ExtensionResponse.decode(value as Uint8Array);
    const r = new Reader(contents);
    assert.deepEqual(
      [extension, text.read(r), text.read(r), r.left],
      ["query", "query", "session-bind@openssh.com", 0],
    );
    near.write(frame(Extension.encode({ extension: "other@example.com", contents: none })));
    assert.equal(messageId((await replies.next()).value as Uint8Array), failure);
  });
});
