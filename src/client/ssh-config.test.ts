import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { type SshConfigParts, sshConfig } from "./ssh-config.ts";

const parts: SshConfigParts = {
  sshProxyAddr: "proxy.example.com:3023",
  rootCluster: "work.example.com",
  cluster: "work.example.com",
  proxyLogin: "root",
  port: 3022,
  keyPath: "/home/joe/.tsh/keys/proxy.example.com/joe",
  knownHosts: "/home/joe/.tsh/keys/proxy.example.com/known_hosts",
};

suite("an ssh_config of a cluster", () => {
  test("names the proxy, and the hosts behind it", () => {
    const own = (login: string[], through: string): string =>
      [
        ...login,
        through,
        'UserKnownHostsFile "/home/joe/.tsh/keys/proxy.example.com/known_hosts"',
        "StrictHostKeyChecking yes",
        'IdentityFile "/home/joe/.tsh/keys/proxy.example.com/joe"',
        'CertificateFile "/home/joe/.tsh/keys/proxy.example.com/joe-cert.pub"',
        "IdentitiesOnly yes",
      ]
        .map((line) => `    ${line}\n`)
        .join("");
    assert.equal(
      sshConfig(parts),
      [
        `Host teleport-proxy-work-example-com\n    HostName proxy.example.com\n    Port 3023\n`,
        own(["User root"], "HostKeyAlias remote.kube.proxy.teleport.cluster.local"),
        `\nHost *.work.example.com\n    Port 3022\n`,
        own([], "ProxyJump teleport-proxy-work-example-com"),
      ].join(""),
    );
  });

  test("reaches the hosts of another cluster by their names' ends", () => {
    const text = sshConfig({ ...parts, cluster: "leaf", login: "ops", port: 22 });
    assert.match(
      text,
      /^Host \*\.leaf\n {4}Port 22\n {4}User ops\n {4}ProxyJump teleport-proxy-work-example-com\n/m,
    );
  });

  test("names an agent, and paths with blanks and percent signs as they are", () => {
    const text = sshConfig({ ...parts, keyPath: "/a home/100%/joe", agent: "/a home/agent.sock" });
    assert.equal(text.match(/IdentityAgent "\/a home\/agent\.sock"\n/g)?.length, 2);
    assert.match(text, /IdentityFile "\/a home\/100%%\/joe"\n/);
  });

  for (const [what, hostile] of [
    ["a proxy that is an option", { sshProxyAddr: "-oProxyCommand=id:3023" }],
    ["a proxy with a command", { sshProxyAddr: "$(id):3023" }],
    ["a proxy with a line of its own", { sshProxyAddr: "proxy\nProxyCommand id:3023" }],
    ["a cluster that is every host", { cluster: "*", rootCluster: "*" }],
    ["a cluster with a blank", { rootCluster: "main other" }],
    ["a cluster with a line of its own", { cluster: "main\nHost *" }],
    ["a leaf with a quote", { cluster: "x';id;'" }],
    ["a login with a command", { login: "`id`" }],
    ["a login with a line of its own", { proxyLogin: "root\nProxyCommand id" }],
    ["a login with a token", { login: "%h" }],
    ["a key whose path has a quote", { keyPath: '/home/joe"/key' }],
    ["a key whose path ends a line", { keyPath: "/home/joe\nProxyCommand id" }],
    ["a key whose path names a variable", { keyPath: "/home/\u0024{HOME}/key" }],
    ["an agent by a backslash", { agent: "/home/joe\\" }],
    ["trust by a relative path", { knownHosts: "known_hosts" }],
  ] as const) {
    test(`S57: ${what} is refused`, () => {
      assert.throws(
        () => sshConfig({ ...parts, ...hostile }),
        (err) => Fault.is(err, "bad_parameter"),
      );
    });
  }
});
