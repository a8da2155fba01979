import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { Network, skipUnlessNetworks } from "../support/network.ts";
import { ShiftedClock } from "../support/shifted-clock.ts";
import { tempDir } from "../support/temp-dir.ts";
import { login, password } from "./cluster.ts";
import { eventsAt, Host, listed, makeUser } from "./hosts.ts";

const plan = {
  auth: ["10.0.10.5"],
  proxy: ["10.0.10.6", "203.0.113.6"],
  slow: ["10.0.10.11"],
  fast: ["10.0.10.12"],
  late: ["10.0.10.13"],
  laptop: ["203.0.113.50"],
} as const;
const site = "proxy.example.com";
/** Clocks are moved by seconds. */
const [minutes, hours] = [60, 3600];
const flags = ["--token=secret-value", "--auth-server=10.0.10.5"];

suite("hosts whose clocks differ", { skip: skipUnlessNetworks || skipUnless("faketime") }, () => {
  const stack = new AsyncDisposableStack();
  let network: Network;
  let auth: Host;
  let laptop: Host;
  /** Of the node `fast`. */
  let clock: ShiftedClock;

  /** A machine whose clock differs by so many seconds from the others'. */
  const shifted = async (name: keyof typeof plan, seconds: number): Promise<[Host, ShiftedClock]> => {
    const made = await ShiftedClock.at(stack.use(await tempDir()), Date.now() + seconds * 1000);
    return [new Host(network.machine(name), made.env), made];
  };
  const whoami = ["ssh", `${login}@fast`, "hostname"];

  before(async () => {
    network = stack.use(await Network.open(plan, { [site]: plan.proxy[1] }));
    [auth, laptop] = [new Host(network.machine("auth")), new Host(network.machine("laptop"))];
    const config = join(auth.machine.home, "teleport.yaml");
    await writeFile(
      config,
      'auth_service: {cluster_name: main, tokens: ["node,proxy:secret-value"], authentication: {second_factor: off}}\n',
    );
    const daemon = stack.use(await auth.teleport("--roles=auth", "-c", config));
    await daemon.line(/Auth service is starting/);
  });
  after(() => stack.disposeAsync());

  test("S37: clocks that differ by 90 s disturb nobody, in a cluster made this moment", async () => {
    const [behind] = await shifted("slow", -90);
    const [ahead, its] = await shifted("fast", 90);
    clock = its;
    const proxy = stack.use(await new Host(network.machine("proxy")).teleport("--roles=proxy", ...flags));
    const nodes = [
      stack.use(await behind.teleport("--roles=node", ...flags)),
      stack.use(await ahead.teleport("--roles=node", ...flags)),
    ];
    await proxy.line(/Web proxy service is starting/);
    await Promise.all([makeUser(auth, laptop, site, "joe"), listed(auth, "slow"), listed(auth, "fast")]);
    for (const { said } of nodes) assert.doesNotMatch(said, /cannot join/);
    for (const node of ["slow", "fast"]) {
      assert.equal(await laptop.mustTsh(["ssh", `${login}@${node}`, "hostname"]), `${node}\n`);
    }
    for (const seconds of [-90, 90]) {
      const [person] = await shifted("laptop", seconds);
      assert.equal(await person.mustTsh(whoami), "fast\n");
      await person.mustTsh(["ls"]);
    }
  });

  test("S37: a node whose clock is wrong refuses by it, and tells the person and the audit log what it says", async () => {
    const refused = async (move: number, why: RegExp): Promise<void> => {
      await clock.jump(move);
      const { code, err } = await laptop.tsh(whoami);
      assert.equal(code, 1);
      assert.match(err, why);
      assert.match(err, /access denied to \w+ connecting to fast/);
    };
    await refused(
      -90 - 10 * minutes,
      /this host refuses the login: certificate "joe" is not valid before \S+; the clock here says \S+: one of the two clocks is wrong/,
    );
    await refused(
      10 * minutes + 13 * hours,
      /this host refuses the login: certificate "joe" expired at \S+; the clock here says/,
    );
    const errors = await eventually("both in the audit log", async () => {
      const found = (await eventsAt(auth))
        .filter(({ event }) => event === "auth")
        .map(({ error }) => String(error));
      return found.length === 2 && found;
    });
    assert.match(errors[0] ?? "", /is not valid before \S+; the clock here says/);
    assert.match(errors[1] ?? "", /expired at \S+; the clock here says/);

    await clock.jump(-13 * hours);
    assert.equal(await laptop.mustTsh(whoami), "fast\n");
  });

  test("a host that joins with a clock too far behind says so, and joins when the clock is set", async () => {
    const [host, its] = await shifted("late", -10 * minutes);
    await using program = await host.teleport("--roles=node", ...flags);
    await program.line(
      /the auth server's certificate is not valid yet by this machine's clock; compare `date -u` here and there/,
    );
    await its.jump(10 * minutes);
    await listed(auth, "late");
  });

  test("a person whose clock is behind is told so by tsh, at the login and at the proxy", async () => {
    const [person] = await shifted("laptop", -10 * minutes);
    const { code, err } = await person.tsh(whoami);
    assert.equal(code, 1);
    assert.match(
      err,
      /the proxy at \S+ cannot prove who it is: certificate \S+ is not valid before \S+; the clock here says/,
    );
    await person.mustTsh(["logout"]);
    const login = ["login", `--proxy=${site}`, "--user=joe"];
    const verified = await person.tsh(login, { input: `${password}\n` });
    assert.equal(verified.code, 1);
    assert.match(
      verified.err,
      /the certificate of proxy\.example\.com is not valid yet by the clock of this machine/,
    );
    const loose = await person.tsh([...login, "--insecure"], { input: `${password}\n` });
    assert.match(
      loose.err,
      /WARNING: the clock of this machine is about 10m0s behind the cluster's; set it right/,
    );
  });

  test("a person whose clock is ahead of all certificates is told at the login", async () => {
    const [person] = await shifted("laptop", 13 * hours);
    const login = ["login", `--proxy=${site}`, "--user=joe", "--insecure"];
    const { err } = await person.tsh(login, { input: `${password}\n` });
    assert.match(
      err,
      /WARNING: the clock of this machine is about 13h0m0s ahead of the cluster's; set it right/,
    );
  });
});
