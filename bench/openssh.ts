import { writeFileSync } from "node:fs";
import { startSshd } from "../test/support/sshd.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import type { Login } from "./login.ts";
import { changed, everyHost, type Side } from "./side.ts";

/** Two stock sshd with host certificates and TrustedUserCAKeys; one is the jump host of `ssh -J` to the other. */
export async function openSsh(login: Login): Promise<Side & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const jump = stack.use(await startSshd({ login: login.name }));
  const target = stack.use(await startSshd({ login: login.name }));
  let files = 0;
  const open = stack.move();
  return {
    name: "OpenSSH ssh -J",
    client: "ssh",
    servers: [jump.pid, target.pid],
    door: jump.port,
    command(change = {}) {
      const config = folder.at(`ssh_config-${files++}`);
      const lines = [
        ...changed("jump", change),
        ...["Host jump", "HostName 127.0.0.1", ...jump.clientConfig],
        ...["Host target", "HostName 127.0.0.1", "ProxyJump jump", ...target.clientConfig],
        ...everyHost(login.name),
      ];
      writeFileSync(config, lines.join("\n"));
      return { program: "ssh", args: ["-F", config, "target"] };
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
