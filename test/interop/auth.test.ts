import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { promisify } from "node:util";
import { hour } from "#core/clock";
import { cluster, joinRequest, otherId, publicKeys, role } from "../../src/auth/testing/cluster.ts";

const run = promisify(execFile);

/** What `ssh-keygen -L` prints of a certificate, times in UTC, a line each without indentation. */
async function listed(certificate: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "auth-"));
  try {
    await writeFile(join(folder, "cert.pub"), `${certificate}\n`);
    const { stdout } = await run("ssh-keygen", ["-L", "-f", join(folder, "cert.pub")], {
      env: { ...process.env, TZ: "UTC" },
    });
    return stdout.split("\n").map((line) => line.trim());
  } finally {
    await rm(folder, { recursive: true });
  }
}

suite("ssh-keygen -L (OVW-42)", () => {
  test("reads a user's certificate", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({
      role: role("ops", { options: { forward_agent: true }, allow: { logins: ["{{internal.logins}}"] } }),
    });
    await c.signUp("joe", "correct horse", { roles: ["ops"], logins: ["root", "joe"] });
    const { ssh } = await publicKeys();
    const { cert } = await c.proxy["logins.certs"]({
      user: "joe",
      password: "correct horse",
      pub_key: ssh,
      ttl: 12 * hour,
    });
    const lines = await listed(cert ?? "");
    assert.ok(lines.includes("Type: ssh-ed25519-cert-v01@openssh.com user certificate"));
    assert.ok(lines.includes('Key ID: "joe"'));
    assert.ok(lines.includes("Valid: from 2025-12-31T23:59:00 to 2026-01-01T12:00:00"));
    const after = (line: string, count: number): string[] =>
      lines.slice(lines.indexOf(line) + 1, lines.indexOf(line) + 1 + count);
    assert.deepEqual(after("Principals:", 2), ["joe", "root"]);
    assert.ok(lines.includes("Critical Options: (none)"));
    assert.deepEqual(after("Extensions:", 3), [
      "permit-agent-forwarding",
      "permit-port-forwarding",
      "permit-pty",
    ]);
  });

  test("reads a host's certificate", async () => {
    await using c = await cluster();
    const { cert } = await c.stranger["hosts.join"](await joinRequest("Node", { token: "static/token" }));
    const lines = await listed(cert);
    assert.ok(lines.includes("Type: ssh-ed25519-cert-v01@openssh.com host certificate"));
    assert.ok(lines.includes(`${otherId}.main`));
    assert.ok(lines.includes("Valid: from 2025-12-31T23:59:00 to 2026-04-01T00:00:00"));
  });
});
