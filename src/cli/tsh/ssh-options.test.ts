import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { runLine } from "../testing.ts";
import { program } from "./program.ts";
import { actingOptions, readOptions } from "./ssh-options.ts";

const none = { forwards: [], sendEnv: [], setEnv: [] };

suite("OpenSSH's options", () => {
  for (const [given, want] of [
    [["Port=22"], { port: 22 }],
    [["port 22"], { port: 22 }],
    [["PORT = 22"], { port: 22 }],
    [['User="joe"'], { user: "joe" }],
    [["Port=22", "Port=23"], { port: 22 }],
    [["ConnectTimeout=5"], { connectTimeout: 5000 }],
    [
      ["ServerAliveInterval=1m30s", "ServerAliveCountMax=2"],
      { serverAliveInterval: 90_000, serverAliveCountMax: 2 },
    ],
    [["ServerAliveInterval=0"], { serverAliveInterval: 0 }],
    [["ForwardAgent=/run/agent"], { forwardAgent: "/run/agent" }],
    [["ForwardAgent=$MY_AGENT"], { forwardAgent: "$MY_AGENT" }],
    [["ForwardAgent=no"], { forwardAgent: false }],
    [["StrictHostKeyChecking=off"], { strictHostKeyChecking: "no" }],
    [["RequestTTY=FORCE"], { requestTty: "force" }],
    [["LogLevel=ERROR"], { quiet: true }],
    [["LogLevel=DEBUG3"], { quiet: false }],
    [["SessionType=none"], { session: false }],
    [["LocalForward=80 db:80"], { forwards: [{ flag: "L", text: "80:db:80" }] }],
    [["RemoteForward 80:db:80"], { forwards: [{ flag: "R", text: "80:db:80" }] }],
    [
      ["SetEnv=A=b=c", "SetEnv=D="],
      {
        setEnv: [
          ["A", "b=c"],
          ["D", ""],
        ],
      },
    ],
    [["SendEnv=LC_* X", "SendEnv=-Y"], { sendEnv: ["LC_*", "X", "-Y"] }],
  ] as const) {
    test(given.join(", "), () => {
      assert.deepEqual(readOptions(given), { options: { ...none, ...want }, warnings: [] });
    });
  }
  for (const [given, sentence] of [
    ["", /no option ""/],
    ["=", /no option ""/],
    ["Prot=22", /no option "Prot"; did you mean Port\?/],
    ["serveraliveintervall=1", /did you mean ServerAliveInterval\?/],
    ["Quux=1", /`tsh help ssh` lists/],
    ["__proto__=1", /no option "__proto__"/],
    ["Port", /the value is missing/],
    ["Port=", /the value is missing/],
    ["Port=0", /not a port/],
    ["ForwardAgent=perhaps", /-o ForwardAgent: "perhaps" is not one of yes, no, true, false/],
    ["RequestTTY=constructor", /is not one of/],
    ["ConnectTimeout=0", /number of seconds/],
    ["ConnectTimeout=soon", /not a duration/],
    ["SetEnv=1A=x", /not NAME=value/],
    ["SessionType=subsystem", /is not one of none, default/],
  ] as const) {
    test(`${JSON.stringify(given)} is refused by name`, () => {
      assert.throws(
        () => readOptions([given]),
        (err) => Fault.is(err, "bad_parameter") && sentence.test(err.message),
      );
    });
  }
  test("TSH-23: one that changes nothing here is a warning, unless it asks for what is the case", () => {
    assert.deepEqual(readOptions(["identityfile=x", "Compression=yes"]).warnings, [
      "WARNING: Option 'IdentityFile' is not supported.",
      "WARNING: Option 'Compression' is not supported.",
    ]);
    assert.deepEqual(readOptions(["Compression=no", "ControlMaster no", "IdentitiesOnly=yes"]).warnings, []);
  });
  test("the help text and docs/tsh-ssh.md name every option that acts", async () => {
    const { out } = await runLine(program, ["help", "ssh"]);
    const page = readFileSync("docs/tsh-ssh.md", "utf8");
    for (const name of actingOptions) {
      assert.match(out, new RegExp(`\\b${name}\\b`));
      assert.ok(page.includes(`\`${name}\``), name);
    }
  });
});
