import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hour, second } from "#core/clock";
import { Fault } from "#core/errors";
import { type CertAuthority, type RotationPhase, rotationPhases, signerIndex } from "#model";
import { byHand, due, type Generation, proceed, rotate, rotationOf } from "./phases.ts";

const now = Date.UTC(2026, 10, 22, 9);
const generation = (name: string): Generation => ({
  checking_keys: [`${name}.pub`],
  signing_keys: [`${name}.key`],
  tls_key_pairs: [{ cert: `${name}.crt`, key: `${name}.tls` }],
});
const moment = (at = now) => ({ now: at, id: "r1", fresh: generation("new") });
const atRest: CertAuthority = {
  kind: "cert_authority",
  version: "v2",
  metadata: { name: "main" },
  spec: { type: "host", cluster_name: "main", ...generation("old") },
};
const gracePeriod = 3 * hour;
const byStep = (ca: CertAuthority, phase: RotationPhase): CertAuthority =>
  rotate(ca, { mode: "manual", gracePeriod, phase }, moment());

/** How an authority gets to each phase by hand. */
const ways: Record<RotationPhase, readonly RotationPhase[]> = {
  standby: [],
  init: ["init"],
  update_clients: ["init", "update_clients"],
  update_servers: ["init", "update_clients", "update_servers"],
  rollback: ["init", "rollback"],
};
const at = (phase: RotationPhase): CertAuthority => ways[phase].reduce(byStep, atRest);
const keys = ({ spec }: CertAuthority): string[] => spec.checking_keys.map((key) => key.replace(".pub", ""));

suite("phases of a rotation", () => {
  const allowed: Record<RotationPhase, readonly RotationPhase[]> = {
    standby: ["init"],
    init: ["update_clients", "rollback"],
    update_clients: ["update_servers", "rollback"],
    update_servers: ["standby", "rollback"],
    rollback: ["standby"],
  };
  for (const from of rotationPhases) {
    for (const to of rotationPhases) {
      const may = allowed[from].includes(to);
      test(`ROT-06: from ${from} ${may ? "to" : "never to"} ${to}`, () => {
        if (may) return assert.equal(rotationOf(byStep(at(from), to)).phase, to);
        assert.throws(
          () => byStep(at(from), to),
          (err) =>
            Fault.is(err, "compare_failed") &&
            err.message.includes(`can only switch to phase ${to} from`) &&
            err.message.includes(`current phase is ${from}`),
        );
      });
    }
  }

  for (const [phase, trusted, client, server] of [
    ["standby", ["old"], "old", "old"],
    ["init", ["old", "new"], "old", "old"],
    ["update_clients", ["new", "old"], "new", "old"],
    ["update_servers", ["new", "old"], "new", "new"],
    ["rollback", ["old", "new"], "old", "old"],
  ] as const) {
    test(`ROT-05: in ${phase} ${client} signs what clients show, ${server} what servers show`, () => {
      const ca = at(phase);
      assert.deepEqual(keys(ca), trusted);
      assert.equal(keys(ca)[signerIndex(ca, "client")], client);
      assert.equal(keys(ca)[signerIndex(ca, "server")], server);
      // The lists go together: of each generation all keys are at the same place.
      assert.deepEqual(
        ca.spec.signing_keys,
        trusted.map((name) => `${name}.key`),
      );
      assert.deepEqual(
        ca.spec.tls_key_pairs,
        trusted.map((name) => ({ cert: `${name}.crt`, key: `${name}.tls` })),
      );
    });
  }

  test("ROT-05: at the end the old keys are gone, and it is written down when", () => {
    const ca = byStep(at("update_servers"), "standby");
    assert.deepEqual(keys(ca), ["new"]);
    const { state, phase, current_id, last_rotated } = rotationOf(ca);
    assert.deepEqual(
      [state, phase, current_id, last_rotated],
      ["standby", "standby", "r1", "2026-11-22T09:00:00.000Z"],
    );
  });

  for (const from of ["init", "update_clients", "update_servers"] as const) {
    test(`ROT-06: taken back from ${from} the new keys are gone, and nothing was rotated`, () => {
      const back = byStep(at(from), "rollback");
      assert.deepEqual(keys(back), ["old", "new"]);
      assert.equal(rotationOf(back).mode, "manual");
      const ca = byStep(back, "standby");
      assert.deepEqual(ca.spec.checking_keys, atRest.spec.checking_keys);
      assert.deepEqual(ca.spec.signing_keys, atRest.spec.signing_keys);
      assert.deepEqual(ca.spec.tls_key_pairs, atRest.spec.tls_key_pairs);
      assert.equal(rotationOf(ca).last_rotated, undefined);
    });
  }

  test("ROT-04: by itself it takes thirds of the grace period", () => {
    let ca = rotate(atRest, { mode: "auto", gracePeriod }, moment());
    const { started, grace_period, schedule, mode, state } = rotationOf(ca);
    assert.deepEqual(
      { started, grace_period, schedule, mode, state },
      {
        started: "2026-11-22T09:00:00.000Z",
        grace_period: "3h0m0s",
        mode: "auto",
        state: "in_progress",
        schedule: {
          update_clients: "2026-11-22T10:00:00.000Z",
          update_servers: "2026-11-22T11:00:00.000Z",
          standby: "2026-11-22T12:00:00.000Z",
        },
      },
    );
    for (const [n, phase] of ["update_clients", "update_servers", "standby"].entries()) {
      assert.deepEqual(due(ca), { phase, at: now + (n + 1) * hour });
      assert.throws(() => proceed(ca, now + (n + 1) * hour - 1), /no step .* is due/);
      ca = proceed(ca, now + (n + 1) * hour);
      assert.equal(rotationOf(ca).phase, phase);
      assert.equal(rotationOf(ca).mode, "auto");
    }
    assert.equal(due(ca), undefined);
    assert.deepEqual(keys(ca), ["new"]);
  });

  test("a step that was missed puts off those after it: hosts get the time they were promised", () => {
    const begun = rotate(atRest, { mode: "auto", gracePeriod }, moment());
    const missed = proceed(begun, now + 5 * hour);
    assert.deepEqual(due(missed), { phase: "update_servers", at: now + 6 * hour });
    const punctual = proceed(begun, now + hour + second);
    assert.deepEqual(due(punctual), { phase: "update_servers", at: now + 2 * hour });
  });

  test("ROT-07: a step by hand ends the schedule; so does a step that failed", () => {
    const begun = rotate(atRest, { mode: "auto", gracePeriod }, moment());
    for (const ca of [byStep(begun, "update_clients"), byStep(begun, "rollback"), byHand(begun)]) {
      assert.equal(rotationOf(ca).mode, "manual");
      assert.equal(due(ca), undefined);
    }
  });

  test("ROT-06: a second one does not begin while one is under way", () => {
    for (const phase of ["init", "update_clients", "update_servers", "rollback"] as const)
      for (const grace of [gracePeriod, 0])
        assert.throws(
          () => rotate(at(phase), { mode: "auto", gracePeriod: grace }, moment()),
          (err) => Fault.is(err, "compare_failed") && /while another is in progress/.test(err.message),
        );
  });

  test("ROT-08: without a grace period the old keys are gone at once", () => {
    const ca = rotate(atRest, { mode: "auto", gracePeriod: 0 }, moment());
    assert.deepEqual(keys(ca), ["new"]);
    const { state, grace_period, last_rotated } = rotationOf(ca);
    assert.deepEqual([state, grace_period, last_rotated], ["standby", "0s", "2026-11-22T09:00:00.000Z"]);
  });

  test("the time of the rotation before is remembered until the next one is over", () => {
    const done = byStep(at("update_servers"), "standby");
    const next = rotate(
      done,
      { mode: "auto", gracePeriod },
      { now: now + hour, id: "r2", fresh: generation("newer") },
    );
    assert.equal(rotationOf(next).last_rotated, "2026-11-22T09:00:00.000Z");
    assert.equal(rotationOf(next).current_id, "r2");
  });

  test("an authority without private keys is not rotated", () => {
    const { signing_keys: _, ...spec } = atRest.spec;
    assert.throws(() => byStep({ ...atRest, spec }, "init"), /no private keys/);
  });
});
