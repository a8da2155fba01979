import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { fetchOwn } from "../support/https.ts";
import { descendants, isAlive } from "../support/processes.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { type Host, startHost } from "./daemon.ts";

suite("a proxy of several processes", { concurrency: 2 }, () => {
  test("each serves all of it; one that dies comes back; a reload replaces them, and they end with the first", async () => {
    await using cluster = await startCluster();
    await cluster.makeUser("joe");
    await using host = await proxyOf(cluster);
    await host.program.line(/process of the proxy serves process=2\n/);
    const first = host.program.pid;
    const second = await companionOf(first);
    {
      using _ = paused(first);
      await serves(cluster, host);
    }
    {
      using _ = paused(second);
      await serves(cluster, host);
    }

    process.kill(second, "SIGKILL");
    const another = await companionOf(first, second);
    await host.program.line(/serves process=2\n[\s\S]*serves process=2\n/);
    {
      using _ = paused(first);
      await serves(cluster, host);
    }
    assert.equal((await proxies(cluster)).length, 3);

    process.kill(first, "SIGHUP");
    const [, pid] = await host.program.line(/a new process serves.* pid=(\d+)\n/);
    const next = Number(pid);
    try {
      await eventually("an end of the old processes", () => !isAlive(first) && !isAlive(another));
      const nextSecond = await companionOf(next);
      await host.program.line(/(serves process=2\n[\s\S]*){3}/);
      {
        using _ = paused(next);
        await serves(cluster, host);
      }
      // Nobody has taken the records of those that serve now out of the list.
      assert.equal((await proxies(cluster)).length, 3);
      process.kill(next, "SIGKILL");
      await eventually("an end of what the first process had started", () => !isAlive(nextSecond));
    } finally {
      if (isAlive(next)) process.kill(next, "SIGKILL");
    }
  });

  test("beside an auth service and a node of the first one", async () => {
    await using cluster = await startCluster({ config: { proxy_service: { processes: 3 } } });
    for (const n of [2, 3]) await cluster.daemon.program.line(new RegExp(`serves process=${n}\\n`));
    assert.equal((await proxies(cluster)).length, 3);
    {
      // Nobody but the first has the auth service; the greeting needs none.
      using _ = paused(cluster.daemon.program.pid);
      await greeted(cluster.ports.proxy);
    }
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
    for (let i = 0; i < 4; i++) await cluster.mustTsh(["ssh", "testnode", "true"]);
    assert.equal(await cluster.daemon.stop(), 0);
  });
});

async function proxyOf(cluster: Cluster): Promise<Host> {
  const invitation = await cluster.mustTctl("nodes", "add", "--roles=proxy");
  const token = /^The invite token: ([0-9a-f]{32})$/m.exec(invitation)?.[1];
  return startHost({
    name: "proxy",
    role: "proxy",
    folder: cluster.folder.at("proxy"),
    authPort: cluster.ports.auth,
    flags: [`--token=${token}`],
    proxy: { processes: 2 },
  });
}

/** Logs in at the proxy and runs a command through it, all by connections of their own. */
async function serves(cluster: Cluster, { address, ssh }: Host): Promise<void> {
  // One that was stopped a moment ago is told of as ill for a moment.
  await eventually("a ping", async () => (await fetchOwn(`https://${address}/webapi/ping`)).status === 200);
  const proxy = `--proxy=${address},${ssh.split(":")[1]}`;
  await cluster.mustTsh(["login", "--insecure", proxy, "--user=joe"], { input: "correct horse\n" });
  assert.equal(
    await cluster.mustTsh([proxy, "--insecure", "ssh", "testnode", "echo through it"]),
    "through it\n",
  );
  await cluster.mustTsh(["logout"]);
}

/** Stops a process, so that whatever is served is served by another. */
function paused(pid: number): Disposable {
  process.kill(pid, "SIGSTOP");
  return { [Symbol.dispose]: () => process.kill(pid, "SIGCONT") };
}

/** The second process of the proxy whose first is `pid`. */
const companionOf = (pid: number, before?: number): Promise<number> =>
  eventually("the second process", async () => {
    for (const child of descendants(pid)) {
      const environment = await readFile(`/proc/${child}/environ`, "latin1").catch(() => "");
      if (child !== before && environment.includes("TELEPORT_PROXY_PROCESS=2\0")) return child;
    }
    return undefined;
  });

async function proxies(cluster: Cluster): Promise<unknown[]> {
  return JSON.parse(await cluster.mustTctl("get", "proxies", "--format=json")) as unknown[];
}

function greeted(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("data", (chunk) => {
      socket.destroy();
      assert.match(String(chunk), /^SSH-2\.0-/);
      resolve();
    });
    socket.once("error", reject);
    socket.once("end", () => reject(new Error("closed without a word")));
  });
}
