import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { parse, stringify } from "yaml";
import { skipUnless } from "../support/installed.ts";
import { Program } from "../support/program.ts";
import { type RunOptions, run } from "../support/run.ts";
import { totp } from "../support/totp.ts";
import { type Cluster, login, password, readEvents, signUp, startCluster } from "./cluster.ts";
import { programs, quiet, startDaemon } from "./daemon.ts";
import { loginFrom, sessionOf, takeUp, tokenIn, type WebSession, webLogin, webStatus } from "./people.ts";

type UserRecord = {
  metadata: { name: string };
  spec: Record<string, unknown> & { status: Record<string, unknown> };
};

const refusedLogin = /invalid username or password/;

suite("people with a password only", { timeout: 600_000 }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let homes = 0;
  before(async () => {
    cluster = stack.use(await startCluster({ config: { proxy_service: { proxy_protocol: "on" } } }));
  });
  after(() => stack.disposeAsync());

  /** Somebody's machine: a home of their own. */
  function machine(name: string) {
    const env = { HOME: cluster.folder.at(`home-${name}-${++homes}`) };
    const tsh = (args: readonly string[], more: RunOptions = {}) => cluster.tsh(args, { env, ...more });
    return {
      env,
      tsh,
      logIn: (pass: string) =>
        tsh(["login", "--insecure", `--proxy=${cluster.proxy}`, `--user=${name}`], { input: `${pass}\n` }),
      /** A command that goes on at the node until somebody ends it. */
      async stays(): Promise<Program> {
        const program = await Program.start(
          programs.tsh,
          ["ssh", `${login}@testnode`, "echo started; exec sleep 600"],
          { env: { ...quiet, ...env } },
        );
        stack.use(program);
        await program.line(/started/);
        return program;
      },
      /** Stock ssh straight to the node, past the proxy. */
      sshToNode: () => {
        const key = join(env.HOME, ".tsh/keys/127.0.0.1", name);
        const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes"];
        return run(
          "ssh",
          [
            ...["-F", "none", "-p", String(cluster.ports.node), "-i", key],
            ...["-o", `CertificateFile=${key}-cert.pub`, "-o", "IdentitiesOnly=yes"],
            ...options.flatMap((option) => ["-o", option]),
            ...[`${login}@127.0.0.1`, "echo let in"],
          ],
          { env: { ...quiet, ...env } },
        );
      },
    };
  }
  /** A login on a machine where nobody is logged in yet. */
  const attempt = (name: string, pass: string) => machine(name).logIn(pass);
  const user = async (name: string): Promise<UserRecord> =>
    (JSON.parse(await cluster.mustTctl("get", `user/${name}`, "--format=json")) as [UserRecord])[0];

  test("TP-05: added, refused and let in, and deleted, with a password only", async () => {
    const token = tokenIn(await cluster.mustTctl("users", "add", "dora", login));
    for (const pass of ["", "short", "x".repeat(129)]) {
      const { status, text } = await takeUp(cluster, token, pass);
      assert.equal(status, 400, text);
    }
    assert.doesNotMatch(await cluster.mustTctl("users", "ls"), /dora/);
    const done = await takeUp(cluster, token, password);
    assert.equal(done.status, 200, done.text);
    assert.equal((await takeUp(cluster, token, password)).status, 404);
    const { tsh, logIn } = machine("dora");
    const wrong = await attempt("dora", "wrong password");
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, refusedLogin);
    const page = await webLogin(cluster, "dora", "wrong password");
    assert.equal(page.answer.status, 403);
    assert.match(page.answer.text, refusedLogin);
    assert.equal((await webLogin(cluster, "dora", password)).answer.status, 200);
    assert.equal((await logIn(password)).code, 0);
    assert.equal((await tsh(["ssh", `${login}@testnode`, "true"])).code, 0);
    assert.equal(await cluster.mustTctl("users", "rm", "dora"), "User 'dora' has been deleted\n");
    const gone = await attempt("dora", password);
    assert.equal(gone.code, 1);
    assert.match(gone.err, refusedLogin);
    const failures = (await cluster.events()).filter((e) => e.event === "user.login" && e.user === "dora");
    // The signup, two wrong, two right, and one after the deletion.
    assert.deepEqual(
      failures.map(({ success }) => success),
      [true, false, false, true, true, false],
    );
    for (const event of failures) assert.match(String(event["addr.remote"]), /^127\.0\.0\.1:\d+$/);
  });

  test("ACC-29d: tctl rm users/admin deletes the local user admin, who is refused everywhere and cut off within 5 s", async () => {
    await cluster.makeUser("admin");
    const old = machine("admin");
    assert.equal((await old.logIn(password)).code, 0);
    const { session } = await webLogin(cluster, "admin", password);
    assert.equal(await webStatus(cluster, session), 200);
    const stock = skipUnless("ssh") === false;
    if (stock) assert.equal((await old.sshToNode()).out, "let in\n");
    const open = await old.stays();
    assert.equal(await cluster.mustTctl("rm", "users/admin"), "user admin has been deleted\n");
    const deleted = performance.now();
    assert.notEqual(await open.ended(), 0);
    assert.ok(performance.now() - deleted < 5000, `cut off after ${performance.now() - deleted} ms`);
    const refusedEverywhere = async (): Promise<void> => {
      assert.equal(await webStatus(cluster, session), 403);
      assert.equal((await old.tsh(["ls"])).code, 1);
      assert.equal((await old.tsh(["ssh", `${login}@testnode`, "true"])).code, 1);
      if (stock) assert.doesNotMatch((await old.sshToNode()).out, /let in/);
    };
    await refusedEverywhere();
    assert.ok(performance.now() - deleted < 60_000);
    const again = await attempt("admin", password);
    assert.equal(again.code, 1);
    assert.match(again.err, refusedLogin);
    const event = await cluster.event("user.delete", (e) => e.event === "user.delete" && e.user === "admin");
    assert.deepEqual([event.code, event.by], ["T1003I", "builtin-Admin"]);
    assert.equal((await cluster.tctl("get", "user/admin")).code, 1);

    // The next of the name is somebody else.
    await cluster.makeUser("admin");
    await refusedEverywhere();
    const next = machine("admin");
    assert.equal((await next.logIn(password)).code, 0);
    assert.equal((await next.tsh(["ssh", `${login}@testnode`, "true"])).code, 0);
  });

  test("ACC-95: at the time of spec.expires the record vanishes, login is refused, and whoever is in is cut off", async () => {
    await cluster.makeUser("temp");
    const { logIn, stays, tsh } = machine("temp");
    assert.equal((await logIn(password)).code, 0);
    const { session } = await webLogin(cluster, "temp", password);
    const open = await stays();
    const record = parse(await cluster.mustTctl("get", "user/temp")) as UserRecord;
    const end = Date.now() + 15_000;
    record.spec.expires = new Date(end).toISOString();
    const file = cluster.folder.at("temp.yaml");
    await writeFile(file, stringify(record));
    assert.equal(await cluster.mustTctl("create", "-f", file), "user 'temp' has been updated\n");
    assert.equal(open.hasEnded, false);
    assert.notEqual(await open.ended(), 0);
    const late = Date.now() - end;
    assert.ok(late > -100 && late < 5000, `cut off ${late} ms after the end`);
    const gone = await cluster.tctl("get", "user/temp");
    assert.deepEqual([gone.code, gone.err], [1, "error: user temp not found\n"]);
    const refused = await attempt("temp", password);
    assert.equal(refused.code, 1);
    assert.match(refused.err, refusedLogin);
    assert.equal((await tsh(["ssh", `${login}@testnode`, "true"])).code, 1);
    assert.equal(await webStatus(cluster, session), 403);
    assert.doesNotMatch(await cluster.mustTctl("users", "ls"), /temp/);
    await cluster.mustTctl("users", "add", "temp");
  });

  test("RES-08: what tctl get prints of a user is taken by tctl create -f, as it is and changed", async () => {
    await cluster.makeUser("rhoda");
    const printed = await cluster.mustTctl("get", "user/rhoda");
    const file = cluster.folder.at("rhoda.yaml");
    await writeFile(file, printed);
    await cluster.mustTctl("create", "-f", file);
    assert.equal(await cluster.mustTctl("get", "user/rhoda"), printed);
    await writeFile(file, printed.replace(`- ${login}\n`, `- ${login}\n      - deploy\n`));
    const plain = await cluster.tctl("create", file);
    assert.deepEqual([plain.code, plain.err], [1, "error: user 'rhoda' already exists\n"]);
    await cluster.mustTctl("create", "-f", file);
    assert.match(await cluster.mustTctl("users", "ls"), new RegExp(`^rhoda +${login},deploy$`, "m"));
    await cluster.mustTctl("users", "update", "rhoda", `--set-logins=${login}`);
    assert.match(await cluster.mustTctl("users", "ls"), new RegExp(`^rhoda +${login}$`, "m"));
    assert.equal((await cluster.tctl("users", "update", "rhoda", "--set-roles=none")).code, 2);
    assert.equal((await webLogin(cluster, "rhoda", password)).answer.status, 200);
    const both = await cluster.tctl("users", "rm", "rhoda,nobody");
    assert.deepEqual(
      [both.code, both.out, both.err],
      [1, "User 'rhoda' has been deleted\n", 'error: user "nobody" is not found\n'],
    );
  });

  test("a password is changed with the old one, and all web sessions but the answer's are over", async () => {
    await cluster.makeUser("pam");
    const { session } = await webLogin(cluster, "pam", password);
    const change = (held: WebSession, from: string, to: string) =>
      cluster.web("/webapi/users/password", {
        method: "PUT",
        headers: { ...held },
        body: {
          old_password: Buffer.from(from).toString("base64"),
          new_password: Buffer.from(to).toString("base64"),
          second_factor_token: "",
        },
      });
    assert.equal((await change(session, "wrong password", "another one")).status, 403);
    assert.equal(await webStatus(cluster, session), 200);
    const changed = await change(session, password, "another one");
    assert.equal(changed.status, 200, changed.text);
    assert.equal(await webStatus(cluster, session), 403);
    assert.equal(await webStatus(cluster, sessionOf(changed)), 200);
    assert.equal((await webLogin(cluster, "pam", password)).answer.status, 403);
    assert.equal((await webLogin(cluster, "pam", "another one")).answer.status, 200);
    const event = await cluster.event("user.password", (e) => e.event === "user.password");
    assert.deepEqual([event.code, event.user], ["T4005I", "pam"]);
  });

  test("TP-19: five failures lock an account for 20 minutes; who is in stays in; an administrator lifts it", async () => {
    await cluster.makeUser("lou");
    const { logIn, stays, tsh } = machine("lou");
    assert.equal((await logIn(password)).code, 0);
    const { session } = await webLogin(cluster, "lou", password);
    const open = await stays();
    // On the page and by tsh: they count together.
    for (let i = 0; i < 4; i++)
      assert.match((await webLogin(cluster, "lou", "wrong password")).answer.text, refusedLogin);
    const fifth = await attempt("lou", "wrong password");
    assert.match(fifth.err, /lou exceeds 5 failed login attempts, locked until \d{4}-/);
    const right = await attempt("lou", password);
    assert.equal(right.code, 1);
    assert.match(right.err, /locked until/);
    assert.match((await webLogin(cluster, "lou", password)).answer.text, /locked until/);

    const { status } = (await user("lou")).spec;
    assert.deepEqual(
      [status.is_locked, status.locked_message],
      [true, "lou exceeded 5 failed login attempts"],
    );
    const left = Date.parse(String(status.lock_expires)) - Date.parse(String(status.locked_time));
    assert.equal(left, 20 * 60_000);
    assert.match(await cluster.mustTctl("users", "locks"), /^lou +User +\d{4}-\S+ +lou exceeded 5 failed/m);
    const event = await cluster.event("user.lock", (e) => e.event === "user.lock" && e.user === "lou");
    assert.deepEqual([event.code, event.until], ["T4004W", status.lock_expires]);

    // AUTH-44: certificates and sessions are as good as before.
    assert.equal((await tsh(["ssh", `${login}@testnode`, "true"])).code, 0);
    assert.equal(await webStatus(cluster, session), 200);
    assert.equal(open.hasEnded, false);

    assert.equal(await cluster.mustTctl("users", "unlock", "lou"), "User 'lou' has been unlocked\n");
    assert.equal((await attempt("lou", password)).code, 0);
    assert.equal((await user("lou")).spec.status.is_locked, false);

    assert.equal(
      await cluster.mustTctl("users", "lock", "lou", "--message=on leave"),
      "User 'lou' has been locked\n",
    );
    const locked = performance.now();
    assert.notEqual(await open.ended(), 0);
    assert.ok(performance.now() - locked < 5000);
    assert.equal(await webStatus(cluster, session), 403);
    assert.equal((await tsh(["ssh", `${login}@testnode`, "true"])).code, 1);
    assert.match((await attempt("lou", password)).err, /the account lou is locked; ask your administrator/);
    await cluster.mustTctl("users", "unlock", "lou");
    assert.equal((await tsh(["ssh", `${login}@testnode`, "true"])).code, 0);
  });

  test("TP-19: fifty failures of one address, over many names, lock it; nobody elsewhere notices; a restart forgets neither lock", async () => {
    await cluster.makeUser("nina");
    const { env, logIn } = machine("nina");
    assert.equal((await logIn(password)).code, 0);
    const pub_key = (await readFile(join(env.HOME, ".tsh/keys/127.0.0.1/nina.pub"))).toString("base64");
    const from = (address: string, name: string, pass: string) =>
      loginFrom(cluster, address, { user: name, password: pass, pub_key });
    for (let i = 0; i < 50; i += 5) {
      const answers = await Promise.all(
        Array.from({ length: 5 }, (_, j) => from(`2001:db8::${i + j + 1}`, `invented-${i + j}`, "wrong")),
      );
      for (const { status, message } of answers) {
        assert.equal(status, 403);
        assert.match(message, refusedLogin);
      }
    }
    const locked = /too many failed logins from your address, locked until \d{4}-/;
    const right = await from("2001:db8::ffff", "nina", password);
    assert.equal(right.status, 403);
    assert.match(right.message, locked);
    assert.equal((await from("2001:db8:0:1::1", "nina", password)).status, 200);
    const event = await cluster.event("source.lock", (e) => e.event === "source.lock");
    assert.deepEqual([event.code, event.source], ["T4101W", "2001:db8:0:0:0:0:0:0/64"]);

    for (let i = 0; i < 5; i++) await webLogin(cluster, "nina", "wrong password");
    assert.match((await attempt("nina", password)).err, /nina exceeds 5 failed login attempts/);
    assert.equal(await cluster.daemon.stop(), 0);
    const next = stack.use(await startDaemon(cluster.config));
    await next.ready();
    const locks = await cluster.mustTctl("users", "locks");
    assert.match(locks, /^nina +User /m);
    assert.match(locks, /^2001:db8:0:0:0:0:0:0\/64 +Address +\d{4}-\S+ +too many failed logins$/m);
    assert.match((await attempt("nina", password)).err, /nina exceeds 5 failed login attempts/);
    assert.match((await from("2001:db8::ffff", "rhoda", password)).message, locked);
    await cluster.mustTctl("users", "unlock", "nina");
    await cluster.mustTctl("users", "unlock", "--source=2001:db8::1");
    assert.equal((await from("2001:db8::ffff", "nina", password)).status, 200);
    assert.equal(await cluster.mustTctl("users", "locks"), "Nothing is locked\n");
  });
});

suite("people with one-time codes", { timeout: 600_000 }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  const secrets = new Map<string, string>();
  before(async () => {
    cluster = stack.use(
      await startCluster({ secondFactor: "otp", config: { teleport: { log: { severity: "debug" } } } }),
    );
  });
  after(() => stack.disposeAsync());

  let homes = 0;
  /** On a machine where nobody is logged in yet. */
  const logIn = (name: string, pass: string, code: string) =>
    cluster.tsh(["login", "--insecure", `--proxy=${cluster.proxy}`, `--user=${name}`], {
      input: `${pass}\n${code}\n`,
      env: { HOME: cluster.folder.at(`home-${++homes}`) },
    });
  const page = async (token: string) =>
    (await cluster.web(`/v1/webapi/users/invites/${token}`)).json() as {
      user: string;
      second_factor: string;
      otp_secret: string;
      reset?: boolean;
    };
  const refused = /invalid username, password or second factor/;

  test("TP-05: added, refused and let in, and deleted, with a one-time code", async () => {
    const token = tokenIn(await cluster.mustTctl("users", "add", "otto", login));
    const before = (await page(token)).otp_secret;
    const seed = (await page(token)).otp_secret;
    assert.notEqual(before, seed);
    const wrong = totp(seed) === "000000" ? "111111" : "000000";
    for (const [pass, code] of [
      [password, ""],
      [password, wrong],
      [password, totp(before)],
      ["short", totp(seed)],
    ] as const) {
      const { status, text } = await takeUp(cluster, token, pass, code);
      assert.ok(status === 403 || status === 400, text);
    }
    assert.doesNotMatch(await cluster.mustTctl("users", "ls"), /otto/);
    assert.equal((await takeUp(cluster, token, password, totp(seed))).status, 200);
    secrets.set("the invitation", token).set("the seed", seed).set("the password", password);
    const next = totp(seed, 1);
    assert.match((await logIn("otto", password, wrong)).err, refused);
    assert.match((await logIn("otto", "wrong password", next)).err, refused);
    const in1 = await logIn("otto", password, next);
    assert.equal(in1.code, 0, in1.err);
    // S22: it is used up now, for the page too.
    assert.match((await logIn("otto", password, next)).err, refused);
    assert.equal((await webLogin(cluster, "otto", password, next)).answer.status, 403);
    const why = (await readEvents(cluster.dataDir)).findLast((e) => e.code === "T1000W");
    assert.equal(why?.message, "previously used totp token");
  });

  test("tctl users reset voids what somebody had, and its address lets the owner choose anew, once", async () => {
    const said = await cluster.mustTctl("users", "reset", "otto", "--ttl=2h");
    assert.match(said, /^Password, second factor and web sessions of 'otto' are void\..* for 2 hours\./);
    const token = tokenIn(said);
    assert.match(said, new RegExp(`^https://127\\.0\\.0\\.1:${cluster.ports.web}/web/reset/${token}$`, "m"));
    assert.match(await cluster.mustTctl("tokens", "ls"), new RegExp(`^${token} +Reset +\\d\\d \\w+`, "m"));
    assert.match((await logIn("otto", password, "123456")).err, refused);
    const { otp_secret, ...rest } = await page(token);
    assert.deepEqual([rest.user, rest.second_factor, rest.reset], ["otto", "otp", true]);
    const all = await Promise.all(
      Array.from({ length: 20 }, () => takeUp(cluster, token, "a new password", totp(otp_secret))),
    );
    assert.deepEqual(all.map(({ status }) => status).sort(), [200, ...Array<number>(19).fill(404)]);
    assert.equal((await takeUp(cluster, token, "a third password", totp(otp_secret, 1))).status, 404);
    const done = await logIn("otto", "a new password", totp(otp_secret, 1));
    assert.equal(done.code, 0, done.err);
    assert.doesNotMatch(await cluster.mustTctl("tokens", "ls"), /Reset/);
    secrets.set("the reset", token).set("the new seed", otp_secret).set("the new password", "a new password");
    const { reset, name } = await cluster.event("the reset", (e) => e.code === "T4003I" && e.reset === true);
    assert.deepEqual([reset, name], [true, "otto"]);
    const changed = await cluster.event("the new password", (e) => e.event === "user.password");
    assert.deepEqual([changed.user, changed.by], ["otto", "builtin-Admin"]);
  });

  test("a reset is revoked as a token is, and makes nobody who was deleted meanwhile", async () => {
    const revoked = tokenIn(await cluster.mustTctl("users", "reset", "otto"));
    assert.equal(await cluster.mustTctl("tokens", "rm", revoked), `Token ${revoked} has been deleted\n`);
    assert.equal((await cluster.web(`/v1/webapi/users/invites/${revoked}`)).status, 404);
    const token = tokenIn(await cluster.mustTctl("users", "reset", "otto"));
    const { otp_secret } = await page(token);
    await cluster.mustTctl("users", "rm", "otto");
    assert.equal((await takeUp(cluster, token, password, totp(otp_secret))).status, 404);
    assert.doesNotMatch(await cluster.mustTctl("users", "ls"), /otto/);
    assert.equal((await cluster.tctl("users", "reset", "otto")).code, 1);
    // S50: nor does it let a host in.
    await cluster.mustTctl("users", "add", "olga", login);
    await signUp(cluster.web, await cluster.mustTctl("users", "add", "oskar", login));
    const other = tokenIn(await cluster.mustTctl("users", "reset", "oskar"));
    const joined = await cluster.web("/v1/webapi/host/credentials", { body: { token: other, role: "Node" } });
    assert.ok(joined.status >= 400, joined.text);
    secrets.set("a revoked reset", revoked).set("another reset", other);
  });

  test("S72: none of it is in the log, even the most talkative, or in the audit log", async () => {
    const written = `${cluster.daemon.program.said}\n${JSON.stringify(await cluster.events())}`;
    assert.match(written, /user\.password/);
    assert.equal(secrets.size, 8);
    for (const [what, secret] of secrets) assert.equal(written.includes(secret), false, what);
  });
});
