import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/port.ts";
import { Terminal } from "../support/terminal.ts";
import { TestCluster } from "./cluster.ts";
import { say, startShouting } from "./forwarding.ts";
import type { Program } from "./program.ts";
import { scpHost } from "./scp-host.ts";

const tsh = join(import.meta.dirname, "..", "..", "bin", "tsh");

/** Waits until the session has the terminal, and a line begins. */
async function begun(terminal: Terminal): Promise<void> {
  await terminal.sees(/ready/);
  // Typed before the terminal is raw it arrives with that.
  terminal.type("a");
  await terminal.sees(/<A>/);
  terminal.type("\r");
  await terminal.sees(/<CR>/);
}

/** Shows in capitals what is typed, says how big its terminal is, and ends at `q`. */
const program: Program = async ({ channel, requests, exit }) => {
  const show = (text: string): Promise<void> => channel.write(Buffer.from(text));
  const size = (): string => {
    const last = requests.findLast(({ name }) => name === "pty-req" || name === "window-change");
    const body = last?.body as { columns: number; rows: number } | undefined;
    return `${body?.columns}x${body?.rows}`;
  };
  await show(`ready ${size()}\r\n`);
  for await (const chunk of channel) {
    const typed = Buffer.from(chunk).toString();
    if (typed.includes("q")) return exit(7);
    if (typed.includes("s")) await show(`size ${size()}\r\n`);
    else if (requests.at(-1)?.name === "break") await show("broken\r\n");
    else await show(`<${typed.toUpperCase().replaceAll("\r", "CR").replaceAll("\u001a", "^Z")}>`);
  }
  return exit(0);
};

suite("tsh ssh on a terminal", () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.start();
    await cluster.login();
    await cluster.node("db", program, { forwards: true });
  });
  after(() => cluster[Symbol.asyncDispose]());
  const env = () => ({ HOME: cluster.home, SSH_AUTH_SOCK: undefined });
  const open = (...flags: string[]): Terminal =>
    new Terminal(tsh, ["ssh", ...flags, "root@db"], { env: env() });

  test("its size is the session's, from the beginning and when it changes", async () => {
    await using terminal = open();
    await terminal.sees(/ready 80x24/);
    terminal.resize(101, 31);
    await eventually("the new size", async () => {
      terminal.type("s");
      return (await terminal.sees(/size (\d+x\d+)/))[1] === "101x31";
    });
    terminal.type("q");
    assert.equal(await terminal.ended(), 7);
  });
  test("~. at the beginning of a line ends it, elsewhere it is text, ~~ is a tilde", async () => {
    await using terminal = open();
    await begun(terminal);
    terminal.type("a~.\r~~b\r");
    await terminal.sees(/A~\.CR[<>]*~[<>]*BCR/);
    terminal.type("~.");
    await terminal.sees(/~\.\r\nConnection to db closed\.\r\n/);
    assert.equal(await terminal.ended(), 1);
  });
  test("~? tells what there is, ~# what is forwarded, ~B sends a break; nothing of it reaches the host", async () => {
    const port = await freePort();
    await using terminal = open("-L", `${port}:127.0.0.1:1`);
    await begun(terminal);
    terminal.type("~?~#~R~Bx");
    await terminal.sees(/~\? +show this\r\n/);
    await terminal.sees(
      new RegExp(`-L ${port}:127\\.0\\.0\\.1:1: 127\\.0\\.0\\.1:${port} to 127\\.0\\.0\\.1:1\\r\\n`),
    );
    await terminal.sees(/0 forwarded connections\r\n/);
    await terminal.sees(/~R \[asked for new keys\]\r\n/);
    await terminal.sees(/broken/);
    assert.doesNotMatch(terminal.shown, /<~|<\?|<#|<R|<B/);
  });
  test("~C opens and ends forwards", async () => {
    using there = await startShouting({ host: "127.0.0.1", port: 0 });
    const port = await freePort();
    await using terminal = open();
    await begun(terminal);
    terminal.type("~C");
    await terminal.sees(/\r\nssh> /);
    terminal.type(`-L ${port}:127.0.0.1:${there.port}\r`);
    await terminal.sees(new RegExp(`Forwarding from 127\\.0\\.0\\.1:${port}\\.\\r\\n`));
    assert.equal(await say("hello", { host: "127.0.0.1", port }), "HELLO");
    terminal.type(`~C-KL ${port}\r`);
    await terminal.sees(/The forward has ended\.\r\n/);
    await assert.rejects(say("x", { host: "127.0.0.1", port }), { code: "ECONNREFUSED" });
    terminal.type(`~C-KL ${port}\r`);
    await terminal.sees(/There is no such forward: 127\.0\.0\.1:\d+\r\n/);
    terminal.type("~Cwhat\r");
    await terminal.sees(/Commands:\r\n/);
    terminal.type("~C-L x\r");
    await terminal.sees(/Invalid port forwarding spec: 'x'/);
    terminal.type("q");
    assert.equal(await terminal.ended(), 7);
  });
  test("~^Z stops tsh with the terminal as the shell expects it, and the session goes on afterwards", async () => {
    const shell = [
      "-c",
      'set -m; "$0" ssh root@db; echo "stopped $?"; stty -a | grep -o " echo "; fg >/dev/null; echo "over $?"',
      tsh,
    ];
    await using terminal = new Terminal("bash", shell, { env: env() });
    await begun(terminal);
    terminal.type("~\u001a");
    await terminal.sees(/~\^Z \[suspend tsh\]/);
    await terminal.sees(/stopped 1\d\d/);
    await terminal.sees(/ echo /);
    await eventually("keys that reach the session again", async () => {
      terminal.type("b");
      return terminal.shown.includes("<B") || undefined;
    });
    terminal.type("q");
    await terminal.sees(/over 7/);
  });
  test("-e chooses another character, or none", async () => {
    await using none = open("-e", "none");
    await begun(none);
    none.type("~.\r");
    await none.sees(/<~/);
    none.type("q");
    assert.equal(await none.ended(), 7);
    await using other = open("-o", "EscapeChar=^]");
    await begun(other);
    other.type("~.\r\u001d.");
    await other.sees(/\^\]\.\r\nConnection to db closed/);
    assert.equal(await other.ended(), 1);
  });
  test("the terminal is given back as it was, however the session ends", async () => {
    await using terminal = new Terminal(
      "bash",
      [
        "-c",
        'before=$(stty -g); "$0" ssh root@db; echo "code $?"; [ "$before" = "$(stty -g)" ] && echo same',
        tsh,
      ],
      { env: env() },
    );
    await begun(terminal);
    terminal.type("~.");
    await terminal.sees(/code 1/);
    await terminal.sees(/same/);
  });

  test("a copy shows how far it is in one line, and the name last", async () => {
    await cluster.node("files", scpHost(new Map()));
    const path = join(cluster.home, "big\u001b[2J");
    await writeFile(path, randomBytes(3_000_000));
    await using terminal = new Terminal(tsh, ["scp", path, "root@files:to"], { env: env() });
    await terminal.sees(/\rbig +0% +0 B/);
    await terminal.sees(/\rbig +100% +2\.9 MiB +\S+ \wi?B\/s +\d\d:\d\d\r\n/);
    assert.equal(await terminal.ended(), 0);
    assert.equal(terminal.shown.includes("\u001b[2J"), false);
    await using quiet = new Terminal(tsh, ["scp", "-q", path, "root@files:to"], { env: env() });
    assert.equal(await quiet.ended(), 0);
    assert.doesNotMatch(quiet.shown, /%/);
  });
});
