// What a link lives through: processes that are replaced, authorities that are rotated, several proxies.
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { isAlive } from "../support/processes.ts";
import type { Ran, RunOptions } from "../support/run.ts";
import { Terminal } from "../support/terminal.ts";
import { type Cluster, login } from "./cluster.ts";
import { programs, quiet } from "./daemon.ts";
import { type TwoClusters, twoClusters } from "./linked.ts";

suite("a link goes on", () => {
  const stack = new AsyncDisposableStack();
  let two: TwoClusters;
  let main: Cluster;
  let east: Cluster;
  let env: NonNullable<RunOptions["env"]>;
  const somewhere = `${login}@eastnode`;
  const inEast = (...command: string[]): Promise<Ran> =>
    main.tsh(["ssh", "--cluster=east", somewhere, ...command]);
  const works = async (what: string): Promise<void> => {
    await eventually(
      what,
      async () => {
        const { code, out } = await inEast("echo $SSH_TELEPORT_CLUSTER_NAME");
        return code === 0 && out === "east\n";
      },
      { timeout: 40_000, every: 300 },
    );
  };
  /** A shell in east that stays open. */
  const shellThere = async (): Promise<Terminal> => {
    await works("a way there");
    const shell = new Terminal(programs.tsh, ["ssh", "--cluster=east", somewhere], { env });
    shell.type("echo open-$((6 * 7))\r");
    await shell.sees(/open-42\r\n/);
    return shell;
  };
  const stillOpen = async (shell: Terminal): Promise<void> => {
    shell.type("echo still-$((6 * 7))\r");
    await shell.sees(/still-42\r\n/);
  };

  before(async () => {
    // One port for web and tunnels at main, so that no tunnel_addr is needed (OVW-12), and two processes that share it.
    two = stack.use(
      await twoClusters({ main: { onePort: true, config: { proxy_service: { processes: 2 } } } }),
    );
    ({ main, east } = two);
    await main.makeUser("joe");
    env = { ...quiet, HOME: main.home };
    await main.logIn("joe", { env });
    const { code, err } = await two.link(await two.invite());
    assert.equal(code, 0, err);
    await two.seen("online");
  });
  after(() => stack.disposeAsync());

  test("OVW-12, TUN-04: over one port for web and tunnels, to each of a proxy's processes", async () => {
    for (let i = 0; i < 6; i++) await works("a way by whichever process");
    const { out } = await main.tsh(["ls", "--cluster=east"]);
    assert.match(out, /^eastnode /m);
  });

  for (const [side, of] of [
    ["east", () => east],
    ["main", () => main],
  ] as const) {
    test(`HUP of ${side}: what runs over the tunnel goes on, and the new process has its own`, async () => {
      const first = of().daemon.program.pid;
      await using shell = await shellThere();
      process.kill(first, "SIGHUP");
      await of().daemon.program.line(/a new process serves, this one takes no new connections/);
      await works("a way by the new process");
      await stillOpen(shell);
      assert.ok(isAlive(first), "it waits for the session");
      shell.type("exit 3\r");
      assert.equal(await shell.ended(), 3);
      await eventually("an end of the old process", () => !isAlive(first), { timeout: 40_000 });
      await works("a way without the old process");
    });
  }

  for (const [side, of] of [
    ["main", () => main],
    ["east", () => east],
  ] as const) {
    test(`ROT-10, TC-16: a rotation of ${side}'s authorities, at each of its phases`, async () => {
      await using shell = await shellThere();
      for (const phase of ["init", "update_clients", "update_servers", "standby"]) {
        await of().mustTctl("auth", "rotate", "--manual", `--phase=${phase}`);
        const other = of() === main ? east : main;
        const knownThere = async (): Promise<boolean> => {
          const keys = (text: string): string =>
            [...text.matchAll(/^ +- (ssh-ed25519 \S+)/gm)]
              .map(([, key]) => key)
              .sort()
              .join();
          const own = await of().mustTctl("auth", "export", "--type=host");
          const all = await other.mustTctl("get", `cas`);
          return own
            .trim()
            .split("\n")
            .every((line) => keys(all).includes(/(ssh-ed25519 \S+)/.exec(line)?.[1] ?? "?"));
        };
        await eventually(`${side}'s authorities of ${phase} at the other`, knownThere, { every: 500 });
        // Before the old authority is dropped, people log in again.
        if (of() === main && phase === "update_servers") {
          await main.mustTsh(["logout"], { env });
          await main.logIn("joe", { env });
        }
        await works(`a way during ${phase}`);
        await stillOpen(shell);
      }
      shell.type("exit\r");
      await shell.ended();
      await two.seen("online");
    });
  }
});
