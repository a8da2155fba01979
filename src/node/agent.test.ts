import assert from "node:assert/strict";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { suite, test } from "node:test";
import { silentLog } from "#core/log";
import type { Connection } from "#ssh";
import { serveAgent } from "./agent.ts";

const root = process.getuid?.() === 0;
const owner = { name: "games", uid: 5, gid: 60, groups: [60], home: "/", shell: "/bin/sh" };
const asked: string[] = [];
const connection = {
  open: async (kind: string) => {
    asked.push(kind);
    throw new Error("the client has no agent");
  },
} as unknown as Connection;
const gone = async (path: string): Promise<void> => {
  while (existsSync(path)) await new Promise((resolve) => setImmediate(resolve));
};

suite("a forwarded agent's socket", () => {
  test("is the login's alone, and gone with the session", {
    skip: !root && "giving a file away needs root",
  }, async () => {
    const umask = process.umask(0);
    const agent = await serveAgent(connection, owner, silentLog);
    process.umask(umask);
    const [socket, dir] = [statSync(agent.path), statSync(dirname(agent.path))];
    assert.deepEqual([socket.uid, socket.gid, socket.mode & 0o777], [5, 60, 0o600]);
    assert.deepEqual([dir.uid, dir.gid, dir.mode & 0o777], [5, 60, 0o700]);
    agent[Symbol.dispose]();
    await gone(dirname(agent.path));
  });

  test("asks the client for its agent at each connection, and closes when there is none", async () => {
    using agent = await serveAgent(connection, undefined, silentLog);
    const client = connect(agent.path);
    client.on("error", () => {});
    await new Promise((resolve) => client.resume().once("close", resolve));
    assert.deepEqual(asked, ["auth-agent@openssh.com"]);
  });

  test("S53: a folder that the login swaps for a link leads to no file of others", async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), "elsewhere-"));
    const agent = await serveAgent(connection, undefined, silentLog);
    const [dir, name] = [dirname(agent.path), basename(agent.path)];
    writeFileSync(join(elsewhere, name), "precious");
    renameSync(dir, `${dir}.moved`);
    symlinkSync(elsewhere, dir);
    agent[Symbol.dispose]();
    await gone(join(`${dir}.moved`, name));
    assert.deepEqual(readdirSync(elsewhere), [name]);
    rmSync(dir);
    for (const left of [`${dir}.moved`, elsewhere]) rmSync(left, { recursive: true });
  });
});
