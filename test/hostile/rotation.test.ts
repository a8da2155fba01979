import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { suite, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { AuthClient } from "#authclient";
import { openAdmin } from "#daemon";
import type { CertAuthority } from "#model";
import { parsePrivateKey, parsePublicKeyLine, sameKey } from "#ssh/keys";
import { skipUnless } from "../support/installed.ts";
import { startCluster } from "./cluster.ts";

const phases = ["init", "update_clients", "update_servers", "standby"] as const;
type Phase = (typeof phases)[number];

/** Every key is there, in its place, with what belongs to it. */
function checkWhole({ spec }: CertAuthority, generations: number): void {
  assert.equal(spec.checking_keys.length, generations);
  assert.equal(spec.tls_key_pairs.length, generations);
  assert.equal(spec.signing_keys?.length, generations);
  for (const [i, line] of spec.checking_keys.entries())
    assert.ok(
      sameKey(parsePublicKeyLine(line).key, parsePrivateKey(spec.signing_keys?.[i] ?? "").key.publicKey),
    );
  for (const { cert, key = "" } of spec.tls_key_pairs)
    assert.ok(new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)));
}

suite("kill -9 of the auth service over a rotation", { skip: skipUnless("ssh", "ssh-keygen") }, () => {
  test("leaves every phase before or after, never between, and the cluster goes on", async () => {
    await using cluster = await startCluster();
    const withAdmin = async <T>(work: (auth: AuthClient) => Promise<T>): Promise<T> => {
      const auth = await openAdmin({
        dataDir: cluster.dataDir,
        addresses: [{ host: "127.0.0.1", port: cluster.ports.auth }],
        version: "5.0.0",
      });
      assert.ok(auth);
      try {
        return await work(auth);
      } finally {
        auth.close();
      }
    };
    let before: Phase | "never" = "never";
    const reached: string[] = [];
    for (const phase of phases) {
      // The call itself takes some milliseconds; where in it the end comes is chance, so it comes at several times.
      for (const delay of phase === "init" ? [5, 40] : [6]) {
        const died = withAdmin(async (auth) => {
          // By a connection that stands, so that the delay is spent in the call.
          await auth["cluster.ca"]({});
          const asked = auth["authorities.rotate"]({ phase }).then(
            () => "answered",
            () => "cut off",
          );
          await setTimeout(delay);
          cluster.daemon.kill("SIGKILL");
          return asked;
        });
        const answer = await died;
        await cluster.daemon.ended();
        await cluster.restart();
        const found = await withAdmin((auth) => auth["authorities.list"]({ secrets: true }));
        const [first, second] = found.map(({ spec }) => spec.rotation?.phase ?? "never");
        assert.equal(first, second, "both in one commit");
        assert.ok(first === phase || first === before, `${before} -> ${phase}: ${first}`);
        if (answer === "answered") assert.equal(first, phase, "what was answered is there");
        for (const ca of found) checkWhole(ca, first === "never" || first === "standby" ? 1 : 2);
        reached.push(`${phase} after ${delay} ms: ${first}`);
        assert.equal((await cluster.tctl("status")).code, 0, reached.join());
        if (first === phase) break;
      }
      const [now] = await withAdmin((auth) => auth["authorities.list"]({}));
      if (now?.spec.rotation?.phase !== phase)
        await withAdmin((auth) => auth["authorities.rotate"]({ phase }));
      before = phase;
    }
    const hosts = (await cluster.tctl("auth", "export", "--type=host")).out;
    await writeFile(cluster.at("known_hosts"), hosts.replaceAll("*.main", "*.main,[127.0.0.1]:*,127.0.0.1"));
    const joe = await cluster.loginWith("joe-after");
    const { out, err } = await cluster.ssh(joe, "testnode.main", "echo reached");
    assert.equal(out, "reached\n", `${err}\n${reached.join("\n")}`);
  });
});
