import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { parsePrivateKey, sameKey, signerOf, signMessage } from "#ssh/keys";
import { skipUnless } from "../support/installed.ts";
import { mustRun } from "../support/run.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const message = "what is signed\n";
const armor = (blob: Uint8Array): string =>
  `-----BEGIN SSH SIGNATURE-----\n${Buffer.from(blob).toString("base64").replace(/.{70}/g, "$&\n")}\n-----END SSH SIGNATURE-----\n`;
const bare = (text: string): Uint8Array => Buffer.from(text.replace(/-----[^-]+-----|\s/g, ""), "base64");

suite("signatures over messages and ssh-keygen -Y", { skip: skipUnless("ssh-keygen") }, () => {
  let folder: TempDir;
  before(async () => {
    folder = await tempDir();
  });
  after(() => folder[Symbol.asyncDispose]());

  for (const type of ["ed25519", "rsa", "ecdsa"] as const) {
    test(`${type}: each believes the other's, for the same purpose only`, async () => {
      const [file, text] = [folder.at(type), folder.at(`${type}-message`)];
      await mustRun("ssh-keygen", ["-q", "-t", type, "-N", "", "-f", file]);
      const { key } = parsePrivateKey(await readFile(file, "utf8"));
      await writeFile(text, message);

      const signed = folder.at(`${type}-ours`);
      await writeFile(signed, armor(await signMessage(key.signer(), "test@example", Buffer.from(message))));
      const check = ["-Y", "check-novalidate", "-n", "test@example", "-s", signed];
      assert.match(await mustRun("ssh-keygen", check, { input: message }), /^Good "test@example" signature/);

      await mustRun("ssh-keygen", ["-q", "-Y", "sign", "-n", "test@example", "-f", file, text]);
      const theirs = bare(await readFile(`${text}.sig`, "utf8"));
      assert.ok(sameKey(signerOf(theirs, "test@example", Buffer.from(message)), key.publicKey));
      assert.throws(() => signerOf(theirs, "other@example", Buffer.from(message)), /does not verify/);
    });
  }
});
