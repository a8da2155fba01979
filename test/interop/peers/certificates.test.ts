import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before } from "node:test";
import { skipUnless } from "../../support/installed.ts";
import { dial } from "../openssh.ts";
import { versionOf, withPeer } from "./peer.ts";
import { python, pythonVersion, withoutPython } from "./python.ts";
import { type Site, startSite } from "./site.ts";

const against = "proxy and node, by certificate";
const stack = new AsyncDisposableStack();
let site: Site;
before(async () => {
  site = stack.use(await startSite());
});
after(() => stack.disposeAsync());

const folder = async (name: string): Promise<string> => {
  await mkdir(site.at(name));
  return site.at(name);
};

withPeer(
  {
    peer: "PuTTY plink, pscp, psftp",
    against,
    version: () => versionOf(/Release (\S+)/, "plink", ["-V"]),
    skip: skipUnless("plink", "pscp", "psftp", "puttygen"),
  },
  (check) => {
    let flags: string[];
    before(async () => {
      const ppk = site.at("joe.ppk");
      const certificate = ["--certificate", `${site.key}-cert.pub`];
      await site.mustRun("puttygen", [site.key, ...certificate, "-O", "private", "-o", ppk]);
      // The authority of hosts, as its settings have it. `&&` and `||` are of its own language of host names.
      const [, authority = ""] = /ssh-ed25519 (\S+)/.exec(await readFile(site.knownHosts, "utf8")) ?? [];
      await mkdir(site.at(".putty/sshhostcas"), { recursive: true });
      await writeFile(
        site.at(".putty/sshhostcas/main"),
        `PublicKey=${authority}\nValidity=*.main || 127.0.0.1\nPermitRSASHA1=0\nPermitRSASHA256=1\nPermitRSASHA512=1\n`,
      );
      const { ports } = site.cluster;
      const jump = `plink -batch -i ${ppk} -P ${ports.proxy} ${site.login}@127.0.0.1 -nc %host:%port`;
      flags = ["-batch", "-i", ppk, "-P", String(ports.node), "-proxycmd", jump];
    });
    const there = (): string => `${site.login}@${site.node}`;

    check(
      "plink: command with input, error output and exit code; both host certificates believed",
      async () => {
        const ran = await site.run("plink", [...flags, "-v", there(), "cat; echo why >&2; exit 7"], {
          input: "hello",
        });
        assert.deepEqual([ran.code, ran.out], [7, "hello"], ran.err);
        assert.match(ran.err, /Certification authority matches 'main'\r?\nAccepted certificate/);
        assert.match(ran.err, /^why$/m);
      },
    );

    check("plink: command ended by a signal", async () => {
      const ran = await site.run("plink", [...flags, "-v", there(), "kill -TERM $$"]);
      assert.match(ran.err, /Session exited on \S+ signal "TERM"/);
    });

    check("plink: terminal with its modes", async () => {
      const ran = await site.run("plink", [...flags, "-t", there(), "stty -a; echo $TERM"]);
      assert.equal(ran.code, 0, ran.err);
      // Of those that it sends: it asks for an erase character of its own, and for no others that would differ.
      assert.match(ran.out, /rows 24; columns 80;[\s\S]*erase = \^\?;[\s\S]*xterm/);
    });

    check("plink: 8 MiB both ways", async () => {
      const text = randomBytes(6 * 1024 * 1024).toString("base64");
      const ran = await site.run("plink", [...flags, there(), "cat"], { input: text });
      assert.ok(ran.out === text, ran.err);
    });

    for (const [way, flag] of [
      ["over SFTP", "-sftp"],
      ["by its old protocol", "-scp"],
    ] as const) {
      check(`pscp ${way}: file both ways`, async () => {
        const path = await folder(`pscp${flag}`);
        const content = randomBytes(1_000_001);
        await writeFile(`${path}/here`, content);
        const pscp = [...flags, flag, "-q"];
        await site.mustRun("pscp", [...pscp, `${path}/here`, `${there()}:${path}/there`]);
        await site.mustRun("pscp", [...pscp, `${there()}:${path}/there`, `${path}/back`]);
        assert.ok(content.equals(await readFile(`${path}/back`)));
      });
    }

    check("psftp: put, mv, chmod, get, ls, del", async () => {
      const path = await folder("psftp");
      const content = randomBytes(1_000_001);
      await writeFile(`${path}/here`, content);
      const batch = [
        `cd ${path}`,
        `lcd ${path}`,
        "put here there",
        "mv there moved",
        "chmod 600 moved",
        "get moved back",
        "ls",
        "del moved",
        "quit",
      ];
      await writeFile(`${path}/batch`, batch.join("\n"));
      const said = await site.mustRun("psftp", [...flags, "-b", `${path}/batch`, there()]);
      assert.match(said, /-rw------- .* 1000001 .* moved/);
      assert.ok(content.equals(await readFile(`${path}/back`)));
      assert.ok(!existsSync(`${path}/moved`));
    });
  },
);

withPeer(
  {
    peer: "asyncssh client",
    against,
    version: () => pythonVersion("asyncssh"),
    skip: withoutPython("asyncssh"),
  },
  (check) => {
    check(
      "command, its end by a signal, terminal, 9 MiB both ways, 10 sessions at a time, forwarded port, SFTP, scp",
      async () => {
        const { ports } = site.cluster;
        const said = await site.mustRun(python, [
          join(import.meta.dirname, "asyncssh-client.py"),
          ...[site.key, site.knownHosts, String(ports.proxy), String(ports.node), site.login],
          await folder("asyncssh"),
        ]);
        assert.deepEqual(JSON.parse(said), {
          exec: ["hello", true, 7],
          signal: ["TERM", false],
          terminal: "31 97\r\nvt100\r\n",
          whole: true,
          many: Array.from({ length: 10 }, (_, i) => `${i}\n`),
          forward: "SSH-2.0-Teleport\r\n",
          sftp: 9 * 1024 * 1024,
          statvfs: true,
          same: true,
          scp: true,
        });
      },
    );
  },
);

withPeer(
  {
    peer: "paramiko",
    against,
    version: () => pythonVersion("paramiko"),
    skip: withoutPython("paramiko") || skipUnless("ssh-keyscan"),
  },
  (check) => {
    check("command, terminal, new keys, SFTP", async () => {
      const { ports } = site.cluster;
      // It does not know certificates of hosts, and asks for the plain key by the type that it has for a host.
      const scan = async (port: number, name: string): Promise<string> => {
        const line = await site.mustRun("ssh-keyscan", ["-t", "ed25519", "-p", String(port), "127.0.0.1"]);
        return line.replace(/^\S+/m, `[${name}]:${port}`);
      };
      const path = await folder("paramiko");
      const lines = [await scan(ports.proxy, "127.0.0.1"), await scan(ports.node, "testnode.main")];
      await writeFile(`${path}/hosts`, lines.join(""));
      const said = await site.mustRun(python, [
        join(import.meta.dirname, "paramiko-client.py"),
        ...[site.key, `${path}/hosts`, String(ports.proxy), String(ports.node), site.login, path],
      ]);
      assert.deepEqual(JSON.parse(said), {
        exec: ["hello", true, 7],
        terminal: "31 97\r\nvt100\r\n",
        "after new keys": ["in\n", true, 0],
        sftp: 3 * 1024 * 1024,
        same: true,
        list: ["back", "here", "renamed"],
      });
    });
  },
);

withPeer(
  {
    peer: "ssh-audit",
    against: "the SSH ports of proxy and node, and that of tunnels",
    version: () => versionOf(/ssh-audit v(\S+),/, "ssh-audit", ["--help"]),
    skip: skipUnless("ssh-audit"),
  },
  (check) => {
    /** What docs/interop.md gives a reason for; anything else is new, anything less is out of date. */
    const expected = [
      "(kex) mlkem768x25519-sha256 -- [warn] unknown algorithm",
      "(kex) ecdh-sha2-nistp256 -- [fail] using weak elliptic curves",
      "(kex) ecdh-sha2-nistp384 -- [fail] using weak elliptic curves",
      "(kex) ecdh-sha2-nistp521 -- [fail] using weak elliptic curves",
      "(kex) kex-strict-s-v00@openssh.com -- [warn] unknown algorithm",
      "(mac) hmac-sha2-256 -- [warn] using encrypt-and-MAC mode",
      "(mac) hmac-sha2-512 -- [warn] using encrypt-and-MAC mode",
    ];
    check("nothing is found but what is told below", async () => {
      const { ports } = site.cluster;
      for (const port of [ports.proxy, ports.tunnel, ports.node]) {
        const { out } = await site.run("ssh-audit", ["-n", "-b", "-p", String(port), "127.0.0.1"]);
        const findings = out.split("\n").filter((line) => /\[(warn|fail)\]/.test(line));
        assert.deepEqual(findings, expected);
      }
    });
    check("there is no SSH port beside them", async () => {
      const { ports } = site.cluster;
      for (const [name, port] of Object.entries(ports)) {
        const said = await greeting(port);
        assert.equal(said.startsWith("SSH-2.0-"), ["proxy", "tunnel", "node"].includes(name), name);
      }
    });
  },
);

/** What a port says first, before anything is asked; empty when nobody listens or nothing came in half a second. */
async function greeting(port: number): Promise<string> {
  const socket = await dial(port).catch(() => undefined);
  if (!socket) return "";
  socket.setTimeout(500, () => socket.destroy());
  let said = "";
  socket.on("data", (chunk: Buffer) => {
    said += chunk.toString("latin1");
    socket.destroy();
  });
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("close", resolve));
  return said;
}
