import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { AuthClient } from "#authclient";
import type { LaggingMember } from "#contract/auth";
import { hour } from "#core/clock";
import { runLine } from "../testing.ts";
import { programWith } from "./program.ts";

/** Runs `tctl auth rotate …` and tells what was asked of the auth service. */
async function rotate(flags: string, found: readonly LaggingMember[] = []) {
  const asked: [string, unknown][] = [];
  const answer =
    (name: string, value: unknown) =>
    async (given: unknown): Promise<unknown> => {
      asked.push([name, given]);
      return value;
    };
  const auth = {
    "authorities.rotate": answer("rotate", []),
    "authorities.rehearse": answer("rehearse", found),
    close: () => {},
  } as unknown as AuthClient;
  const words = ["auth", "rotate", ...flags.split(" ").filter((word) => word !== "")];
  return {
    ...(await runLine(
      programWith(async () => auth),
      words,
    )),
    asked,
  };
}

const initiated = "Initiated certificate authority rotation. To check status use 'tctl status'\n";
const updated = (phase: string): string =>
  `Updated rotation phase to "${phase}". To check status use 'tctl status'\n`;

suite("tctl auth rotate (TCT-54)", () => {
  for (const [flags, request, said] of [
    ["", {}, initiated],
    ["--type=user --grace-period=200h", { types: ["user"], grace_period: 200 * hour }, initiated],
    ["--type=host", { types: ["host"] }, initiated],
    ["--grace-period=0", { grace_period: 0 }, initiated],
    ["--manual", { phase: "init" }, updated("init")],
    ["--manual --phase=update_clients", { phase: "update_clients" }, updated("update_clients")],
    ["--manual --phase=rollback --type=user", { types: ["user"], phase: "rollback" }, updated("rollback")],
  ] as const) {
    test(`tctl auth rotate ${flags}`, async () => {
      const { code, out, err, asked } = await rotate(flags);
      assert.deepEqual({ code, out, err }, { code: 0, out: said, err: "" });
      assert.deepEqual(asked, [["rotate", request]]);
    });
  }

  for (const [flags, complaint] of [
    ["--phase=init", /add --manual/],
    ["--manual --phase=later", /"later" is not one of standby, init/],
    ["--type=tls", /not one of user, host/],
    ["--grace-period=-1h", /not longer than nothing/],
    ["--grace-period=soon", /not a duration/],
  ] as const) {
    test(`refuses ${flags}`, async () => {
      const { code, err, asked } = await rotate(flags);
      assert.equal(code, 2);
      assert.match(err, complaint);
      assert.deepEqual(asked, []);
    });
  }

  test("--rehearse names hosts as they are, escaped, and changes nothing", async () => {
    const member = { kind: "node", host_id: "6a1b", authorities: ["host"] } as const;
    const { out, asked } = await rotate("--rehearse --manual --phase=standby", [
      { ...member, name: "a\u001b[2Jb", offline: true, authorities: ["host"] },
      { ...member, name: "db", offline: false, phase: "init", authorities: ["host"] },
    ]);
    assert.deepEqual(asked, [["rehearse", { phase: "standby" }]]);
    assert.ok(!out.includes("\u001b"));
    assert.match(out, /^db +node +6a1b +at phase init$/m);
    assert.match(out, /^These 2 hosts would be cut off .*Nothing was changed\.$/m);
    assert.equal((await rotate("--rehearse")).out, "No host would be cut off.\n");
    const json = await rotate("--rehearse --format=json", [
      { ...member, name: "db", offline: true, authorities: ["host"] },
    ]);
    assert.equal(JSON.parse(json.out)[0].name, "db");
  });
});
