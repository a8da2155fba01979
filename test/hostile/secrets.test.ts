import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { skipUnless } from "../support/installed.ts";
import { startCluster } from "./cluster.ts";

suite("what is secret", { skip: skipUnless("ssh", "ssh-keygen") }, () => {
  test("S72: is in no log, event, answer or metric, at the most talkative severity", async () => {
    await using cluster = await startCluster({ teleport: ["log: {severity: debug}"], secondFactor: "otp" });
    const planted = {
      "a wrong password": "wrong-password-4711",
      "a password for nobody": "ghost-password-4711",
      "a token of an administrator": "planted-join-token-4711",
      "a token of a stranger": "planted-guess-4711",
      "a code": "471147",
      "a password in JSON that breaks off": "broken-password-4711",
      "a bearer": "planted-bearer-4711",
    };
    const pub_key = readFileSync(`${cluster.joe}.pub`).toString("base64");
    const certs = { pub_key, ttl: 3600e9, compatibility: "", otp_token: planted["a code"] };
    const answers = [
      await cluster.post("/webapi/ssh/certs", {
        ...certs,
        user: "joe",
        password: planted["a wrong password"],
      }),
      await cluster.post("/webapi/ssh/certs", { ...certs, user: "joe", password: cluster.password }),
      await cluster.post("/webapi/ssh/certs", {
        ...certs,
        user: "ghost",
        password: planted["a password for nobody"],
      }),
      await cluster.post("/webapi/sessions", {
        user: "joe",
        pass: planted["a wrong password"],
        second_factor_token: planted["a code"],
      }),
      await cluster.post("/webapi/users", {
        invite_token: planted["a token of a stranger"],
        pass: "12345678",
      }),
      await cluster.post(
        "/webapi/ssh/certs",
        `{"password":"${planted["a password in JSON that breaks off"]}"`,
      ),
      await cluster.post(`/webapi/users/invites/${planted["a token of a stranger"]}`, {}),
      await cluster.post(`/webapi/nothing?access_token=${planted["a bearer"]}`, {}),
    ].map(({ status, body }) => {
      assert.ok(status >= 400 && status < 500, body);
      return body;
    });
    const token = planted["a token of an administrator"];
    const added = await cluster.tctl("tokens", "add", "--type=node", `--value=${token}`);
    assert.equal(added.code, 0, added.err);
    assert.equal((await cluster.ssh(cluster.joe, "testnode.main", "true")).code, 0);
    assert.equal((await cluster.ssh(cluster.joe, "nosuch.main", "true")).code, 255);
    const keys = await cluster.tctl("auth", "export", "--keys");
    const identities = readdirSync(join(cluster.dataDir, "proc")).map((name) =>
      readFileSync(join(cluster.dataDir, "proc", name), "utf8"),
    );
    const metrics = await (await fetch(`http://127.0.0.1:${cluster.ports.diag}/metrics`)).text();
    const logs = readdirSync(join(cluster.dataDir, "log"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"));
    const places = { answers: answers.join("\n"), said: cluster.said(), metrics, log: logs.join("\n") };
    assert.match(places.said, / DEBUG /);
    assert.match(places.log, /user\.login/);

    const secrets: Record<string, string> = {
      ...planted,
      "the password": cluster.password,
      "the seed": cluster.seed ?? "",
      "the invite": cluster.invite,
    };
    const pem = /-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\\n|\s)+([A-Za-z0-9+/=\\\n]{60})/g;
    for (const text of [keys.out, readFileSync(cluster.joe, "utf8"), ...identities])
      for (const [, body = ""] of text.matchAll(pem)) {
        // The first line of a key file only says what kind of key it is.
        const at = text.indexOf(body) + body.length;
        secrets[`a private key ${Object.keys(secrets).length}`] = text
          .slice(at, at + 40)
          .replace(/\\n|\s/g, "");
      }
    assert.ok(Object.keys(secrets).length >= Object.keys(planted).length + 3 + 6);
    for (const [place, text] of Object.entries(places)) {
      assert.doesNotMatch(text, /PRIVATE KEY/, place);
      for (const [what, secret] of Object.entries(secrets)) {
        assert.ok(secret.length >= 6, what);
        assert.equal(text.includes(secret), false, `${what} is in: ${place}`);
      }
    }
  });
});
