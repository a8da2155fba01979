/** The file side of scp (SSH-20, SSH-21): runs in `login.ts`, as the login, in its home, on descriptors 0 to 2. */
import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { type Copied, sources, Target } from "#copy";
import { receive, type ScpLink, send } from "#ssh/scp";

/**
 * `args` are scp's own, without its name, each a string of bytes (latin1). Resolves to the exit code: 0 when all was
 * copied, 1 otherwise. `report` is called once for each file.
 */
export async function serveScp(args: readonly string[], report: (copied: Copied) => void): Promise<number> {
  try {
    const { flags, paths } = parse(args);
    const link: ScpLink = { input: new Socket({ fd: 0, readable: true, writable: false }), write };
    const has = (flag: string): boolean => flags.has(flag);
    const [path] = paths;
    if (has("t") === has("f")) throw new Error("remote mode is not supported");
    if (path === undefined) throw new Error("no path was given");
    if (has("f")) {
      const options = { recursive: has("r"), preserve: has("p"), report };
      return (await send(link, sources(paths, options))).length > 0 ? 1 : 0;
    }
    if (paths.length > 1) throw new Error("more than one target was given");
    const target = await Target.open(path, { mustBeFolder: has("d"), preserve: has("p"), report });
    return (await receive(link, target, { recursive: has("r") })).length > 0 ? 1 : 0;
  } catch (err) {
    const text = err instanceof Error ? err.message : String(err);
    // On the protocol and for people: a client of the protocol shows the first, a shell the second.
    await write(Buffer.from(`\x02scp: ${text.replaceAll("\n", " ")}\n`)).catch(() => {});
    return 1;
  }
}

function parse(args: readonly string[]): { flags: Set<string>; paths: Buffer[] } {
  const flags = new Set<string>();
  let at = 0;
  for (; at < args.length; at++) {
    const arg = args[at] as string;
    if (arg === "--" && at++ >= 0) break;
    if (!/^-./.test(arg)) break;
    for (const letter of arg.slice(1)) {
      if (!"tfrpdvq".includes(letter)) throw new Error(`unknown option -${letter}`);
      flags.add(letter);
    }
  }
  return { flags, paths: args.slice(at).map((arg) => Buffer.from(arg, "latin1")) };
}

/** Blocks until the pipe has taken it: this process does nothing else. */
async function write(bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (err) {
      // One socket for both ways does not block, since reading must not. It is asked again in the next turn.
      if ((err as NodeJS.ErrnoException).code !== "EAGAIN") throw err;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
