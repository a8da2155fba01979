import assert from "node:assert/strict";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { fetchOwn } from "../support/https.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { type Host, type HostOptions, startDaemon, startHost } from "./daemon.ts";

suite("hosts that lose their auth service, or what they know", () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let token: string;

  before(async () => {
    cluster = stack.use(await startCluster());
    const invitation = await cluster.mustTctl("nodes", "add", "--roles=node,proxy");
    token = /^The invite token: ([0-9a-f]{32})$/m.exec(invitation)?.[1] ?? "";
  });
  after(() => stack.disposeAsync());

  const host = (name: string, role: HostOptions["role"], ...flags: string[]): Promise<Host> =>
    startHost({ name, role, folder: cluster.folder.at(name), authPort: cluster.ports.auth, flags });

  const pin = async (): Promise<string> =>
    /sha256:[0-9a-f]{64}/.exec(await cluster.mustTctl("status"))?.[0] ?? "";

  test("ACC-88: a host whose data folder was emptied has to join again", async () => {
    {
      await using first = await host("reset", "node", `--token=${token}`);
      await first.ready();
    }
    {
      await using second = await host("reset", "node");
      await second.ready();
    }
    await empty(cluster.folder.at("reset", "data"));
    await using third = await host("reset", "node");
    await third.program.line(/provisioning token/);
    assert.equal((await third.diag("/readyz")).status, 503);
  });

  test("ACC-84: a proxy's ping is 200 while it can log people in, and 503 once auth is gone", async () => {
    await using proxy = await host("proxy", "proxy", `--token=${token}`);
    await proxy.ready();
    const ping = (path: string) => fetchOwn(`https://${proxy.address}${path}`);
    for (const path of ["/webapi/ping", "/v1/webapi/ping"])
      assert.equal((await ping(path)).status, 200, path);
    assert.equal((await cluster.web("/webapi/ping")).status, 200);

    await cluster.daemon.stop();
    const { text } = await eventually("a ping that fails", async () => {
      const answer = await ping("/webapi/ping");
      return answer.status === 503 && answer;
    });
    assert.match(text, /auth/);
  });

  test("ACC-88: a cluster whose data folder was emptied is a new one", async () => {
    await using again = await startDaemon(cluster.config);
    await again.ready();
    const before = await pin();
    await again.stop();
    await empty(cluster.dataDir);
    await using anew = await startDaemon(cluster.config);
    await anew.ready();
    assert.notEqual(await pin(), before);
    assert.equal(await cluster.mustTctl("users", "ls"), "No users found\n");
  });
});

async function empty(folder: string): Promise<void> {
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true });
}
