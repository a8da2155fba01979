import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { type Random, systemRandom } from "#core/random";
import { AuditEvent, type Code, type Draft, describe, type EventOf, stamp } from "./index.ts";

const sid = "8c9e6679-7425-40de-944b-e07fc1f90ae7";
const id = "5de36382-08b1-4d1b-9c5c-9d0f4b6a2f10";
const on = { user: "ada", login: "root", server_id: id };
const session = { ...on, sid };
const addrs = { "addr.local": "10.0.0.2:3022", "addr.remote": "10.0.0.9:51454" };
const from = { "addr.remote": "10.0.0.9:51454" };
const ok = { success: true } as const;
const failed = { success: false, error: "no" } as const;
const scp = { ...on, ...addrs, path: "/tmp/a", len: 5, command: "scp -f /tmp/a", exitCode: 0, exitError: "" };
const until = "2026-01-02T00:00:00Z";

/** One of each, as a caller gives it, with its sentence. */
const samples: { [C in Code]: [Omit<Draft<EventOf<C>>, "code">, string] } = {
  T1000I: [{ user: "ada", method: "local", ...ok, ...from }, "ada logged in from 10.0.0.9:51454"],
  T1000W: [{ user: "ada", method: "local", ...failed }, "ada failed to log in: no"],
  T1001I: [{ user: "ada", method: "github", ...ok }, "ada logged in by github"],
  T1001W: [{ method: "oidc", ...failed }, "someone failed to log in by oidc: no"],
  T1002I: [
    { user: "ada", roles: ["admin", "dev"], by: "root" },
    "ada was given the roles admin, dev by root",
  ],
  T1003I: [{ user: "ada" }, "user ada was deleted"],
  T2000I: [{ ...session, ...addrs, size: "80:25", ei: 0 }, `ada as root started a session on ${id}`],
  T2001I: [{ ...session, ...from }, `ada as root joined a session on ${id}`],
  T2002I: [{ ...session, size: "120:40" }, "ada resized the terminal to 120×40"],
  T2003I: [session, `ada left a session on ${id}`],
  T2004I: [{ ...session, participants: ["ada", "bob"] }, `the session of ada, bob on ${id} ended`],
  T2005I: [{ sid, url: "s3://b/x.tar" }, `the recording of session ${sid} was stored at s3://b/x.tar`],
  T2006I: [{ ...session, ...addrs, tx: 1, rx: 2 }, "ada as root sent 1 and received 2 bytes"],
  T3001I: [{ ...on, ...addrs, name: "sftp", exitError: "" }, `ada as root used the subsystem sftp on ${id}`],
  T3001E: [
    { ...on, ...addrs, name: "x", exitError: "unknown" },
    `ada as root failed to use the subsystem x on ${id}: unknown`,
  ],
  T3002I: [
    { ...on, ...addrs, command: "ls -l", exitCode: 0, exitError: "" },
    `ada as root ran ls -l on ${id}`,
  ],
  T3002E: [
    { ...on, ...addrs, command: "false", exitCode: 1, exitError: "", sid },
    `ada as root ran false on ${id}, which failed: exit code 1`,
  ],
  T3003I: [{ ...on, ...addrs, addr: "db:5432", ...ok }, "ada as root forwarded a connection to db:5432"],
  T3003E: [
    { ...on, ...addrs, addr: "db:5432", ...failed },
    "ada as root failed to forward a connection to db:5432: no",
  ],
  T3004I: [{ ...scp, action: "read" }, `ada as root downloaded /tmp/a (5 bytes) from ${id}`],
  T3004E: [
    { ...scp, action: "read", exitCode: 1, exitError: "gone" },
    `ada as root failed to download /tmp/a from ${id}: gone`,
  ],
  T3005I: [{ ...scp, action: "write" }, `ada as root uploaded /tmp/a (5 bytes) to ${id}`],
  T3005E: [
    { ...scp, action: "write", exitCode: 1, exitError: "full" },
    `ada as root failed to upload /tmp/a to ${id}: full`,
  ],
  T3006I: [{ ...on, ...addrs, reason: "idle" }, `ada as root was disconnected from ${id}: idle`],
  T3007W: [
    { user: "ada", login: "root", server_id: id, ...addrs, success: "false", error: "expired" },
    `ada was refused on ${id} from 10.0.0.9:51454: expired`,
  ],
  T4000I: [{ role: "Node", server_id: id, hostname: "db", ...ok }, "db joined the cluster as Node"],
  T4000W: [
    { role: "Auth", ...from, ...failed },
    "a host was refused to join the cluster as Auth from 10.0.0.9:51454: no",
  ],
  T4001I: [{ user: "ada", roles: ["Node"], expires: until }, "ada created an invite token for Node"],
  T4002I: [{ user: "ada" }, "ada deleted an invite token"],
  T4003I: [{ user: "ada", name: "bob", reset: false }, "ada invited bob to sign up"],
  T4004W: [{ user: "ada", until }, `ada is locked until ${until} after too many failed logins`],
  T4005I: [{ user: "ada" }, "the password of ada was changed"],
  T4110I: [{ user: "ada", key: "AbC_-1" }, "ada enrolled the security key AbC_-1"],
  T4110W: [
    { user: "ada", ...failed, message: "wrong origin" },
    "ada failed to enrol a security key: wrong origin",
  ],
  T4111W: [
    { user: "ada", "addr.remote": "203.0.113.9:1", key: "AbC_-1", stored: 7, given: 3 },
    "the security key AbC_-1 of ada counted 3 after 7 from 203.0.113.9:1: it may have been copied",
  ],
  T4010I: [{ user: "ada", name: "dev" }, "ada created the role dev"],
  T4011I: [{ user: "ada", name: "dev" }, "ada changed the role dev"],
  T4012I: [{ user: "ada", name: "dev" }, "ada deleted the role dev"],
  T4140I: [{ user: "ada", kind: "github", name: "corp" }, "ada created the github connector corp"],
  T4141I: [{ user: "ada", kind: "oidc", name: "corp" }, "ada changed the oidc connector corp"],
  T4142I: [{ user: "ada", kind: "saml", name: "corp" }, "ada deleted the saml connector corp"],
  T4190I: [
    { user: "ada", name: "main", addr: "main:3080", success: true },
    "ada made the cluster main (main:3080) a trusted cluster",
  ],
  T4190W: [
    { user: "ada", name: "main", addr: "main:3080", success: false, error: "no answer" },
    "ada failed to make the cluster main (main:3080) a trusted cluster: no answer",
  ],
  T4191I: [
    { user: "ada", name: "main", enabled: false },
    "ada changed the trusted cluster main, which is disabled now",
  ],
  T4192I: [{ user: "ada", name: "main" }, "ada deleted the trusted cluster main"],
  T4193I: [
    { name: "east", method: "token", "addr.remote": "192.0.2.1:1", success: true },
    "the cluster east trusts this one from 192.0.2.1:1",
  ],
  T4193W: [
    { name: "east", success: false, error: "the token has been rejected" },
    "the cluster east was refused to trust this one: the token has been rejected",
  ],
  T4194I: [{ user: "ada", name: "east" }, "ada deleted the remote cluster east"],
  T4195I: [
    { success: true, name: "east" },
    "the authorities of the linked cluster east have changed, as it says",
  ],
  T4195W: [
    { success: false, error: "not signed", name: "east" },
    "what was said of the authorities of the linked cluster east was not believed: not signed",
  ],
  T4130I: [
    { user: "ada", kind: "host", fingerprint: "SHA256:x", success: true },
    "ada restored the host certificate authority SHA256:x",
  ],
  T4130W: [
    { user: "ada", success: false, error: "keys do not match" },
    "ada failed to restore certificate authorities: keys do not match",
  ],
  T4131I: [{ user: "ada", server_id: "id-1", hostname: "db" }, "ada took the node db (id-1) off the list"],
  T4132W: [
    { user: "ada", names: ["github/corp", "oidc/okta"] },
    "ada took out the secrets of the connectors github/corp, oidc/okta",
  ],
  T4020I: [{ kind: "host", fingerprint: "SHA256:x" }, "the host certificate authority SHA256:x was created"],
  T4021I: [
    { kind: "user", phase: "init", state: "in_progress" },
    "the cluster rotates the user certificate authority: init, in_progress",
  ],
  T4150W: [
    { user: "ada", kind: "host", phase: "init", ...failed },
    "ada did not rotate the host certificate authority: init: no",
  ],
  T4030I: [
    { user: "ada", target: "db:0", addr: "10.0.0.2:22", ...addrs, ...ok },
    "ada was connected to db:0",
  ],
  T4030W: [{ user: "ada", target: "db:0", ...addrs, ...failed }, "ada was not connected to db:0: no"],
  T4031I: [
    { ...on, ...addrs, action: "rename", path: "/a", target: "/b", ...ok },
    `ada as root on ${id}: rename /a to /b`,
  ],
  T4031E: [
    { ...on, ...addrs, action: "read", path: "/a", ...failed },
    `ada as root on ${id}: read /a failed: no`,
  ],
  T4032I: [{ ...on, ...addrs, addr: "127.0.0.1:80", ...ok }, `ada as root listens at 127.0.0.1:80 of ${id}`],
  T4032E: [
    { ...on, ...addrs, addr: "127.0.0.1:80", ...failed },
    `ada as root failed to listen at 127.0.0.1:80 of ${id}: no`,
  ],
  T4033I: [
    { ...on, ...addrs, path: "/run/x", direction: "local", ...ok },
    `ada as root forwarded the local socket /run/x on ${id}`,
  ],
  T4033E: [
    { ...on, ...addrs, path: "/run/x", direction: "remote", ...failed },
    `ada as root failed to forward the remote socket /run/x on ${id}: no`,
  ],
  T4120I: [{ ...on, ...addrs, ...ok }, `ada as root lent the agent to ${id}`],
  T4120W: [{ ...on, ...addrs, ...failed }, `ada as root could not lend the agent to ${id}: no`],
  T4050W: [{ ...session, ...failed }, `ada was refused to join a session on ${id}: no`],
  T4100I: [{ user: "ada", name: "joe", message: "on leave" }, "ada locked the account joe: on leave"],
  T4101W: [
    { source: "192.0.2.1/32", until },
    `logins from 192.0.2.1/32 are locked until ${until} after too many failures`,
  ],
  T4102I: [{ user: "ada", name: "joe" }, "ada unlocked the account joe"],
  T4103I: [{ user: "ada", source: "192.0.2.1/32" }, "ada unlocked logins from 192.0.2.1/32"],
  T4051W: [
    { user: "ada", action: "create", resource: "role", error: "no" },
    "ada was refused to create role: no",
  ],
  T4160I: [
    { user: "ada", kind: "user", account: "ci", names: ["root", "ci"], ttl: "12h0m0s", serial: "7" },
    "ada issued a user certificate for ci, logins root, ci",
  ],
  T4160W: [
    { user: "ada", kind: "host", names: ["*"], ...failed },
    "ada was refused a host certificate for *: no",
  ],
  T4161W: [
    { user: "ada", fingerprints: ["SHA256:x"] },
    "ada took out private keys of certificate authorities: SHA256:x",
  ],
};

const random: Random = { ...systemRandom, uuid: () => sid };
const stamped = (draft: Draft): AuditEvent => stamp(draft, { clock: new TestClock(), random });

suite("audit events", () => {
  for (const { shape } of AuditEvent.options) {
    const code = shape.code.value;
    test(`${code} ${shape.event.value} has a sample that survives JSON, and a sentence`, () => {
      const [fields, sentence] = samples[code];
      const event = stamped({ ...fields, code } as Draft);
      assert.equal(event.event, shape.event.value);
      assert.deepEqual(AuditEvent.parse(JSON.parse(JSON.stringify(event))), event);
      assert.equal(describe(event), sentence);
    });
  }

  test("no code stands for two events", () => {
    const codes = AuditEvent.options.map(({ shape }) => shape.code.value);
    assert.equal(new Set(codes).size, codes.length);
    assert.deepEqual([...codes].sort(), Object.keys(samples).sort());
  });

  test("fields have the names of the guide", () => {
    const event = stamped({ code: "T3002I", ...on, ...addrs, command: "ls", exitCode: 0, exitError: "" });
    assert.deepEqual(Object.keys(event).sort(), [
      "addr.local",
      "addr.remote",
      "code",
      "command",
      "event",
      "exitCode",
      "exitError",
      "login",
      "namespace",
      "server_id",
      "time",
      "uid",
      "user",
    ]);
    assert.equal(event.namespace, "default");
  });

  test("times are whole seconds, in a session milliseconds", () => {
    const clock = new TestClock(Date.UTC(2026, 10, 22, 9, 0, 0, 123));
    assert.equal(stamp({ code: "T1003I", user: "ada" }, { clock, random }).time, "2026-11-22T09:00:00Z");
    assert.equal(stamp({ code: "T2003I", ...session }, { clock, random }).time, "2026-11-22T09:00:00.123Z");
  });

  test("an event stamped where it happened stays as it is", () => {
    const event = stamp({ code: "T2003I", ...session }, { clock: new TestClock(5), random: systemRandom });
    assert.deepEqual(stamped(event), event);
  });

  test("a field that the event does not have is refused", () => {
    const draft = { code: "T4002I", user: "ada", token: "secret" };
    assert.throws(() => stamped(draft as unknown as Draft), /token/);
  });

  test('a refused login says "false" as text', () => {
    const [fields] = samples.T3007W;
    assert.throws(() => stamped({ ...fields, code: "T3007W", success: false } as unknown as Draft));
  });
});
