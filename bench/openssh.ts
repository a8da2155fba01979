import { writeFile } from "node:fs/promises";
import { startSshd } from "../test/support/sshd.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import type { Login } from "./login.ts";
import { everyHost, type Side } from "./side.ts";

/** Two stock sshd with host certificates and TrustedUserCAKeys; one is the jump host of `ssh -J` to the other. */
export async function openSsh(login: Login): Promise<Side & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const jump = stack.use(await startSshd({ login: login.name }));
  const target = stack.use(await startSshd({ login: login.name }));
  const config = folder.at("ssh_config");
  await writeFile(
    config,
    [
      ...["Host jump", "HostName 127.0.0.1", ...jump.clientConfig],
      ...["Host target", "HostName 127.0.0.1", "ProxyJump jump", ...target.clientConfig],
      ...everyHost(login.name),
    ].join("\n"),
  );
  const open = stack.move();
  return {
    name: "OpenSSH ssh -J",
    ssh: ["-F", config, "target"],
    servers: [jump.pid, target.pid],
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
