import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { VersionReader } from "./version.ts";

const proxy = 'Teleport-Proxy{"clientAddr":"192.0.2.7:50022"}\0';

suite("version exchange", () => {
  for (const [peer, bytes, version, clientAddress, rest] of [
    ["server", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\nrest", "SSH-2.0-OpenSSH_9.2p1 Debian-2", undefined, "rest"],
    ["server", "SSH-2.0-x\n", "SSH-2.0-x", undefined, ""],
    ["server", "SSH-1.99-old\r\n", "SSH-1.99-old", undefined, ""],
    ["server", "hello\r\nS\r\nSSH-2.0-x\r\n", "SSH-2.0-x", undefined, ""],
    ["client", "SSH-2.0-Teleport\r\n", "SSH-2.0-Teleport", undefined, ""],
    ["client", `${proxy}SSH-2.0-Go\r\nrest`, "SSH-2.0-Go", "192.0.2.7:50022", "rest"],
    [
      "client",
      'Teleport-Proxy{"clientAddr":"[2001:db8::1]:9"}\0SSH-2.0-Go\r\n',
      "SSH-2.0-Go",
      "[2001:db8::1]:9",
      "",
    ],
  ] as const) {
    for (const size of [1, 7, 1000]) {
      test(`${JSON.stringify(bytes)} of a ${peer}, ${size} bytes at a time`, () => {
        const reader = new VersionReader(peer);
        let at = 0;
        while (true) {
          const got = reader.push(Buffer.from(bytes.slice(at, at + size)));
          at += size;
          if (got === undefined) {
            assert.ok(at < bytes.length, "never complete");
            continue;
          }
          assert.equal(got.version, version);
          assert.equal(got.brought?.clientAddress, clientAddress);
          assert.equal(got.rest.toString() + bytes.slice(at), rest);
          break;
        }
      });
    }
  }

  for (const [why, peer, bytes] of [
    ["SSH-1", "server", "SSH-1.5-x\r\n"],
    ["a line of 256 bytes", "server", `SSH-2.0-${"x".repeat(246)}\r\n`],
    ["a line that does not end", "server", `SSH-2.0-${"x".repeat(300)}`],
    ["a NUL in the version", "server", "SSH-2.0-x\0y\r\n"],
    ["an endless greeting line", "server", "x".repeat(1024)],
    ["an endless greeting", "server", "x\n".repeat(65)],
    ["a client with a greeting", "client", "hello\r\nSSH-2.0-x\r\n"],
    ["a web browser", "client", "GET / HTTP/1.1\r\n"],
    ["one wrong byte", "client", "T\x00"],
    ["an endless address", "client", `Teleport-Proxy{"clientAddr":"${"1".repeat(9000)}`],
    ["an address that is no JSON", "client", "Teleport-Proxy{clientAddr}\0"],
    ["an address that is a name", "client", 'Teleport-Proxy{"clientAddr":"localhost:1"}\0SSH-2.0-x\r\n'],
    ["an address with a line break", "client", 'Teleport-Proxy{"clientAddr":"1.1.1.1:1\\nx"}\0SSH-2.0-x\r\n'],
    ["two addresses", "client", `${proxy}${proxy}SSH-2.0-x\r\n`],
  ] as const) {
    test(`refuses ${why}, whole and byte by byte`, () => {
      for (const size of [1, 4096]) {
        const reader = new VersionReader(peer);
        assert.throws(
          () => {
            for (let at = 0; at < bytes.length; at += size)
              reader.push(Buffer.from(bytes.slice(at, at + size), "latin1"));
          },
          (err) => Fault.is(err, "protocol"),
        );
      }
    });
  }

  const line = "PROXY TCP4 192.0.2.7 198.51.100.1 5000 3023\r\n";
  for (const size of [1, 7, 1000]) {
    test(`a PROXY line is handed to who wants it, ${size} bytes at a time`, () => {
      const lines: string[] = [];
      const reader = new VersionReader("client", (given) => lines.push(given));
      const bytes = `${line}${proxy}SSH-2.0-Go\r\n`;
      let got: ReturnType<typeof reader.push>;
      for (let at = 0; at < bytes.length; at += size)
        got = reader.push(Buffer.from(bytes.slice(at, at + size)));
      assert.deepEqual(
        [lines, got?.version, got?.brought?.clientAddress],
        [[line], "SSH-2.0-Go", "192.0.2.7:50022"],
      );
    });
  }
  for (const [what, peer, wanted, bytes] of [
    ["that nobody wants", "client", false, line],
    ["of a server", "server", true, line.repeat(65)],
    ["twice", "client", true, line + line],
    ["behind the version", "client", true, `Teleport${line}`],
    ["that does not end", "client", true, `PROXY TCP4 ${"1".repeat(120)}`],
    ["that is too long", "client", true, `PROXY TCP4 ${"1".repeat(120)}\r\n`],
  ] as const) {
    test(`S64: refuses a PROXY line ${what}`, () => {
      const taken: string[] = [];
      const reader = new VersionReader(peer, wanted ? (given) => taken.push(given) : undefined);
      assert.throws(
        () => reader.push(Buffer.from(bytes)),
        (err) => Fault.is(err, "protocol"),
      );
      assert.ok(taken.length <= 1);
    });
  }

  test("the longest line allowed is read", () => {
    const line = `SSH-2.0-${"x".repeat(245)}`; // with CR LF 255
    assert.equal(new VersionReader("client").push(Buffer.from(`${line}\r\n`))?.version, line);
  });

  test("any bytes give a version, ask for more, or are a protocol fault", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("client" as const, "server" as const),
        fc.array(fc.oneof(fc.constantFrom("SSH-2.0-", "\r\n", "\n", proxy, "Teleport-Proxy{"), fc.string()), {
          maxLength: 8,
        }),
        (peer, parts) => {
          const reader = new VersionReader(peer);
          try {
            for (const part of parts) if (reader.push(Buffer.from(part))) break;
          } catch (err) {
            if (!Fault.is(err, "protocol")) throw err;
          }
        },
      ),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 500) },
    );
  });
});
