import { receive, send } from "#ssh/scp";
import type { Program } from "./program.ts";

/** A host that is only good for scp, and not always good. */
export const scpHost =
  (got: Map<string, string>): Program =>
  async (session) => {
    const { channel, command = "" } = session;
    const link = {
      input: channel as AsyncIterable<Uint8Array>,
      write: (bytes: Uint8Array) => channel.write(bytes),
    };
    got.set("command", command);
    const path = command.split(" -- ")[1] ?? "";
    if (command.startsWith("scp -t")) {
      const folder = (at: string): Parameters<typeof receive>[1] => ({
        async file(name) {
          const parts: Uint8Array[] = [];
          return {
            async write(chunk) {
              parts.push(Uint8Array.from(chunk));
            },
            async close(reason) {
              if (reason === undefined)
                got.set(at + Buffer.from(name), Buffer.concat(parts).toString("latin1"));
            },
          };
        },
        directory: async (name) => folder(`${at}${Buffer.from(name)}/`),
        async done() {},
      });
      await receive(link, folder(""), { recursive: true });
      return session.exit(0);
    }
    const named = (name: string, mode = 0o644) => ({
      kind: "file" as const,
      name: Buffer.from(name),
      mode,
      size: 7,
      read: async function* () {
        yield Buffer.from("content");
      },
      done() {},
    });
    const last = path.split("/").at(-1) ?? "";
    const entries = {
      "evil-other": [named("authorized_keys")],
      "evil-two": [named("evil-two"), named("evil-two")],
      "evil-climb": [named("../evil-climb")],
      "evil-mode": [named("evil-mode", 0o6755)],
      "evil-hidden/": [named(".bashrc")],
    }[path] ?? [named(last)];
    const troubles = await send(
      link,
      (async function* () {
        yield* entries;
      })(),
    );
    return session.exit(troubles.length > 0 ? 1 : 0);
  };
