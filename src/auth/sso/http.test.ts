import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { type DialOut, dial } from "#net";
import { webDoor } from "../testing/web-door.ts";
import { type Outgoing, outgoing } from "./http.ts";

/** A server that says hello, and what asks it by a name that nobody knows, wherever the dialler leads. */
async function served(options: Parameters<typeof outgoing>[1] = { anyCertificate: true }) {
  const door = await webDoor((response) => void response.end('"hello"'));
  const port = Number(door.address.split(":")[1]);
  const dialled: unknown[] = [];
  const there: DialOut = (address, signal) => {
    dialled.push(address);
    return dial({ host: "127.0.0.1", port }, signal);
  };
  const ask = outgoing({ clock: new TestClock(), dial: there }, options);
  return { ask, dialled, door, [Symbol.asyncDispose]: () => door[Symbol.asyncDispose]() };
}

const unreachable =
  (why: RegExp) =>
  (err: unknown): boolean =>
    Fault.is(err, "unreachable") && why.test(err.message);

suite("requests to the outside", () => {
  test("go where the dialler leads, one connection each, by name or address", async () => {
    await using s = await served();
    const get = async (url: string): Promise<unknown> =>
      (await s.ask(url, { method: "POST", body: "{}" })).json();
    assert.equal(await get("https://idp.example.com/x"), "hello");
    assert.equal(await get("https://idp.example.com:8443/"), "hello");
    assert.equal(await get("https://[2001:db8::1]/"), "hello");
    assert.deepEqual(s.dialled, [
      { host: "idp.example.com", port: 443 },
      { host: "idp.example.com", port: 8443 },
      { host: "2001:db8::1", port: 443 },
    ]);
  });

  test("the certificate has to be one for the host that is meant, whoever carries the bytes", async () => {
    await using s = await served({});
    await assert.rejects(
      s.ask("https://idp.example.com/", { method: "POST", body: '"planted"' }),
      unreachable(/^https:\/\/idp\.example\.com cannot be reached: /),
    );
    assert.deepEqual(s.door.seen, []);
  });

  test("say why there is no connection", async () => {
    const refuses: DialOut = () => Promise.reject(new Fault("bad_parameter", "HTTPS_PROXY: no"));
    const ask: Outgoing = outgoing({ clock: new TestClock(), dial: refuses });
    await assert.rejects(
      ask("https://idp.example.com/"),
      unreachable(/^https:\/\/idp\.example\.com cannot be reached: HTTPS_PROXY: no$/),
    );
  });

  test("end after 20 s, and the dialling with them", async () => {
    const clock = new TestClock();
    const { promise: given, resolve } = Promise.withResolvers<AbortSignal>();
    const never: DialOut = (_address, signal) => {
      resolve(signal);
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    const asked = assert.rejects(
      outgoing({ clock, dial: never })("https://idp.example.com/"),
      unreachable(/did not answer within 20 s/),
    );
    const signal = await given;
    await clock.advance(20 * second);
    await asked;
    assert.ok(signal.aborted);
  });
});
