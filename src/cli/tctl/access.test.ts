import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { AuthClient } from "#authclient";
import type { AccessExplanation } from "#contract/auth";
import { runLine } from "../testing.ts";
import { programWith } from "./program.ts";

async function explain(line: string, answer: AccessExplanation) {
  const asked: unknown[] = [];
  const auth = {
    "access.explain": async (input: unknown) => {
      asked.push(input);
      return answer;
    },
    close: () => {},
  } as unknown as AuthClient;
  const got = await runLine(
    programWith(async () => auth),
    `access explain ${line}`.split(" "),
    { input: "" },
  );
  return { ...got, asked };
}

const denied: AccessExplanation = {
  user: "ann",
  roles: ["ops", "no-root"],
  action: "ssh",
  login: "root",
  node: { id: "6a1b", hostname: "db\u001b[31m", labels: { tier: "db", env: "prod" } },
  allowed: false,
  by: "deny",
  reason: "role no-root denies the login root",
  decided: {
    reason: "role no-root denies the login root",
    role: "no-root",
    rule: "deny.logins[0]",
    text: '"root"',
  },
  nearest: {
    reason: "role ops allows the login root on this node",
    role: "ops",
    rule: "allow.logins[0]",
    text: '"root"',
    would_allow: true,
  },
  options: {
    max_session_ttl: "8h0m0s",
    client_idle_timeout: "never",
    disconnect_expired_cert: true,
    recording: "required",
    pin_source_ip: true,
    source_addresses: ["10.0.0.0/8"],
  },
  notes: ["a note"],
};

suite("tctl access explain", () => {
  test("prints the rule that denies and what would be without it, safe for the terminal", async () => {
    const { out, code, asked } = await explain("ann root@db", denied);
    assert.equal(code, 0);
    assert.deepEqual(asked, [{ user: "ann", target: "root@db" }]);
    assert.equal(
      out,
      [
        "ann as root on db (6a1b), ssh: denied",
        "  Denied      role no-root denies the login root",
        '  Rule        role no-root, deny.logins[0]: "root"',
        "  Without it  role ops allows the login root on this node",
        '              role ops, allow.logins[0]: "root"',
        "  Roles       ops, no-root",
        "  Labels      env=prod, tier=db",
        "  Note        a note",
        "",
      ].join("\n"),
    );
  });

  test("prints what came nearest where nothing allows", async () => {
    const { decided: _, ...rest } = denied;
    const nearest = {
      reason: "role dev allows it, but label env is prod, not dev",
      role: "dev",
      rule: "allow.node_labels",
      would_allow: false,
    };
    const { out } = await explain("ann root@db", { ...rest, by: "nothing", reason: nearest.reason, nearest });
    assert.match(out, /^ {2}Denied {6}no rule allows it, and what no rule allows is denied$/m);
    assert.match(
      out,
      /^ {2}Nearest {5}role dev allows it, but label env is prod, not dev\n {14}role dev, allow\.node_labels$/m,
    );
  });

  test("prints what holds for a session that is allowed", async () => {
    const { nearest: _, ...rest } = denied;
    const { out, asked } = await explain("ann --action=list:user", {
      ...rest,
      allowed: true,
      by: "allow",
      roles: [],
    });
    assert.deepEqual(asked, [{ user: "ann", action: "list:user" }]);
    assert.match(out, /^ {2}Roles {7}none$/m);
    assert.match(
      out,
      /^ {2}Session {5}certificates for 8h0m0s, idle timeout never, ends with the certificate, recording required, bound to the address of the login, from 10\.0\.0\.0\/8 only$/m,
    );
  });

  for (const format of ["json", "yaml"] as const) {
    test(`prints ${format} whole`, async () => {
      const { out } = await explain(`ann root@db --format=${format}`, denied);
      if (format === "json") assert.deepEqual(JSON.parse(out), denied);
      else assert.match(out, /^by: deny$/m);
    });
  }
});
