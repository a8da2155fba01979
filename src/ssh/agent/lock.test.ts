import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import type { PublicKey } from "../keys/key.ts";
import { parsePrivateKey } from "../keys/private-text.ts";
import { parsePublicKeyLine } from "../keys/text.ts";
import { agent } from "../testing/agent.ts";
import {
  AgentFailure,
  AgentSuccess,
  IdentitiesAnswer,
  Lock,
  messageId,
  RemoveAllIdentities,
  RequestIdentities,
  SignRequest,
  SignResponse,
  Unlock,
} from "../wire/agent.ts";
import { frame, messages } from "./framing.ts";
import { AgentLock } from "./lock.ts";

const vector = (name: string): string =>
  readFileSync(new URL(`../../../test/vectors/keys/${name}`, import.meta.url), "utf8");
const publicKey = (name: string): PublicKey => parsePublicKeyLine(vector(`${name}.pub`)).key;
const pair = (name: string) => ({ key: parsePrivateKey(vector(name)).key });
const data = Buffer.from("what is signed");

suite("an agent's lock", () => {
  const { id: failure } = AgentFailure;
  const { id: success } = AgentSuccess;
  const passphrase = (words: string) => ({ passphrase: Buffer.from(words) });
  const lists = RequestIdentities.encode({});

  test("hides the keys, lets none sign, and opens for its own passphrase alone", async () => {
    const { near, keyring, clock } = agent();
    keyring.add({ signer: pair("ed25519").key.signer(), comment: "" });
    const sign = SignRequest.encode({ key: publicKey("ed25519").blob, data, flags: 0 });
    const replies = messages(near);
    const ask = async (request: Uint8Array): Promise<Uint8Array> => {
      near.write(frame(request));
      return (await replies.next()).value as Uint8Array;
    };
    const id = async (request: Uint8Array): Promise<number> => messageId(await ask(request));
    assert.equal(await id(Unlock.encode(passphrase("not locked"))), failure);
    assert.equal(await id(Lock.encode(passphrase("open sesame"))), success);
    assert.deepEqual(IdentitiesAnswer.decode(await ask(lists)).keys, []);
    for (const request of [sign, RemoveAllIdentities.encode({}), Lock.encode(passphrase("mine"))])
      assert.equal(await id(request), failure);

    const wrong = id(Unlock.encode(passphrase("open barley")));
    // A guess is answered only after a while.
    while (clock.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(100);
    assert.equal(await wrong, failure);
    assert.equal(await id(Unlock.encode(passphrase("open sesame"))), success);
    assert.equal(IdentitiesAnswer.decode(await ask(lists)).keys.length, 1);
    assert.equal(await id(sign), SignResponse.id);
  });

  test("guesses wait for each other, each longer than the one before", async () => {
    const clock = new TestClock();
    const lock = new AgentLock({ clock });
    lock.close(Buffer.from("secret"));
    const settled: number[] = [];
    const guesses = [1, 2, 3].map((n) =>
      lock.open(Buffer.from("guess")).catch(() => void settled.push(n, clock.now() - Date.UTC(2026, 0, 1))),
    );
    for (const wait of [100, 200, 300]) {
      while (clock.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
      await clock.advance(wait);
    }
    await Promise.all(guesses);
    assert.deepEqual(settled, [1, 100, 2, 300, 3, 600]);
    assert.ok(lock.locked);
  });
});
