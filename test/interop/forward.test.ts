import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { AuditEvent } from "#events";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/port.ts";
import { type ANode, startNode } from "./a-node.ts";
import { withoutOpenSsh } from "./openssh.ts";

const root = process.getuid?.() === 0;
const asOther = root ? {} : { skip: "becoming another user needs root" };

suite("forwarding by a node, for stock ssh", { timeout: 120_000, skip: withoutOpenSsh }, () => {
  let node: ANode;
  before(async () => {
    node = await startNode();
  });
  after(() => node[Symbol.asyncDispose]());

  for (const local of ["tcp", "unix"] as const) {
    for (const far of ["tcp", "unix"] as const) {
      test(`-L from ${local} to ${far}: bytes, half-close and all, and a record`, async () => {
        node.events.length = 0;
        await using shouting = await shoutingServer(node, far);
        const entrance = await placeHere(node, local);
        await using _ = await master(node, ["-L", `${entrance}:${shouting.name}`]);
        assert.equal(await ask(entrance, "hello"), "HELLO");
        const told = far === "tcp" ? { addr: shouting.name } : { path: shouting.name, direction: "local" };
        await event(node, { code: far === "tcp" ? "T3003I" : "T4033I", ...told });
      });

      test(`-R from ${local} on the node to ${far}: likewise, and nothing is left when the client is gone`, async () => {
        node.events.length = 0;
        await using shouting = await shoutingServer(node, far);
        const entrance = local === "tcp" ? `127.0.0.1:${await freePort()}` : join(node.home, `r-${far}`);
        const client = await master(node, ["-R", `${entrance}:${shouting.name}`]);
        const told = local === "tcp" ? { addr: entrance } : { path: entrance, direction: "remote" };
        await event(node, { code: local === "tcp" ? "T4032I" : "T4033I", ...told });
        if (local === "unix") {
          const { uid, mode } = statSync(entrance);
          assert.deepEqual([uid, mode & 0o777], [node.login.uid, 0o600]);
        }
        assert.equal(await ask(entrance, "hello"), "HELLO");
        assert.equal(await ask(entrance, "again"), "AGAIN");
        // Not asked to leave: killed.
        client.child.kill("SIGKILL");
        await closed(entrance);
        if (local === "unix") assert.equal(existsSync(entrance), false);
        await client[Symbol.asyncDispose]();
      });
    }
  }
});

/** Answers each connection in capitals, once the other side has ended its half. */
async function shoutingServer(node: ANode, kind: "tcp" | "unix") {
  const server = createServer({ allowHalfOpen: true }, async (socket) => {
    socket.on("error", () => {});
    socket.end((await text(socket)).toUpperCase());
  });
  const where =
    kind === "tcp"
      ? { host: "127.0.0.1", port: 0 }
      : { path: join(node.home, `s${made++}`), writableAll: true };
  await new Promise<void>((resolve) => server.listen(where, resolve));
  const address = server.address();
  return {
    /** As ssh's options have it. */
    name: typeof address === "string" ? address : `127.0.0.1:${address?.port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
let made = 0;

/** A path or a port of 127.0.0.1 that is free. */
const placeHere = async (node: ANode, kind: "tcp" | "unix"): Promise<string> =>
  kind === "tcp" ? `127.0.0.1:${await freePort()}` : join(node.dir, `l${made++}`);

/** Waits for an event with these fields. */
const event = (node: ANode, fields: Partial<Record<string, unknown>>): Promise<AuditEvent> =>
  eventually(`the event ${JSON.stringify(fields)} among ${JSON.stringify(node.events)}`, () =>
    node.events.find((one) =>
      Object.entries(fields).every(([key, value]) => (one as Record<string, unknown>)[key] === value),
    ),
  );

/** `ssh -N` with a control socket, once its forwards stand. */
async function master(node: ANode, args: readonly string[], file?: string) {
  const control = join(node.dir, `control-${made++}`);
  const child = node.start(
    ["-N", "-M", "-S", control, "-o", "ExitOnForwardFailure=yes", ...args, node.target],
    file,
  );
  let err = "";
  child.stderr?.on("data", (chunk) => (err += String(chunk)));
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  while (!existsSync(control)) {
    assert.equal(child.exitCode, null, `ssh ended: ${err}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return {
    child,
    said: () => err,
    control: (...words: string[]) => run("ssh", ["-F", "none", "-S", control, "-O", ...words, node.target]),
    async [Symbol.asyncDispose]() {
      child.kill();
      await ended;
    },
  };
}

async function run(program: string, args: readonly string[]) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  return await outcome(child);
}

async function outcome(child: ChildProcess) {
  let [out, err] = ["", ""];
  child.stdout?.on("data", (chunk) => (out += String(chunk)));
  child.stderr?.on("data", (chunk) => (err += String(chunk)));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { out, err, code };
}

const open = (where: string): Socket => {
  const [, host, port] = /^(.*):(\d+)$/.exec(where) ?? [];
  return connect(
    host === undefined
      ? { path: where, allowHalfOpen: true }
      : { host, port: Number(port), allowHalfOpen: true },
  );
};

/** Sends, ends, and gives what comes back. */
async function ask(where: string, question: string): Promise<string> {
  const socket = open(where);
  socket.end(question);
  return await text(socket);
}

/** Until the other side ends; iteration would close our side too. */
async function text(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve, reject) => socket.once("end", resolve).once("error", reject));
  return Buffer.concat(chunks).toString();
}

/** Until nobody listens there. */
async function closed(where: string): Promise<void> {
  while (true) {
    const socket = open(where);
    const gone = await new Promise((resolve) => {
      socket.once("connect", () => resolve(false)).once("error", () => resolve(true));
    });
    socket.destroy();
    if (gone) return;
  }
}
