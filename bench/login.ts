import { rm } from "node:fs/promises";
import { userInfo } from "node:os";
import { asRoot } from "../test/support/installed.ts";
import { mustRun, run } from "../test/support/run.ts";

/** The OS user whose shells both sides start. */
export interface Login extends AsyncDisposable {
  readonly name: string;
  readonly shell: string;
}

/**
 * As root a new OS user with dash for a shell and nothing to read at login, removed afterwards, so that what is measured is not
 * somebody's `.bashrc`; otherwise who runs this.
 */
export async function benchLogin(): Promise<Login> {
  if (!asRoot) {
    const { username, shell } = userInfo();
    return { name: username, shell: shell ?? "unknown", async [Symbol.asyncDispose]() {} };
  }
  const name = `bench-${process.pid}`;
  const home = `/tmp/${name}`;
  const shell = "/bin/dash";
  // "*" instead of "!": no password, but not a locked account, which sshd refuses.
  await mustRun("useradd", [
    "--create-home",
    "--home-dir",
    home,
    "--skel",
    "/nonexistent",
    "--password",
    "*",
    "--shell",
    shell,
    name,
  ]);
  return {
    name,
    shell,
    async [Symbol.asyncDispose]() {
      await run("userdel", ["--force", name]);
      await rm(home, { recursive: true, force: true });
    },
  };
}
