import { spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog } from "#core/log";
import { type Accepted, type Algorithms, accept, type Channel } from "#ssh";
import { DirectTcpip, RemoteForwards, splice } from "#ssh/forward";
import { type PrivateKey, type PublicKey, sameKey } from "#ssh/keys";
import { readSessionRequest, sendExit } from "#ssh/session";
import { serveSftp } from "#ssh/sftp";
import { DiskFiles } from "../../src/helper/sftp/files.ts";
import { listen } from "./openssh.ts";

export interface PlainServer extends AsyncDisposable {
  readonly port: number;
  /** Every login so far, oldest first: by what key, and what the transport agreed on, once for each key exchange. */
  readonly logins: readonly {
    readonly key: PublicKey;
    readonly algorithm: string;
    readonly exchanges: Exchange[];
  }[];
}
type Exchange = Readonly<Record<string, unknown>>;

/**
 * A server of `src/ssh` for programs that know no certificates: plain keys both ways, commands and SFTP as whoever runs the test,
 * in `home`; `scp` in a command is ours. No terminals; relative names of SFTP begin where the test was started.
 */
export async function startPlainServer(options: {
  readonly home: string;
  readonly hostKeys: readonly PrivateKey[];
  readonly authorized: readonly PublicKey[];
  readonly algorithms?: Algorithms;
  readonly rekey?: { readonly bytes: number };
}): Promise<PlainServer> {
  const { home, hostKeys, authorized, algorithms = {}, rekey = {} } = options;
  const bin = join(home, "bin");
  await mkdir(bin, { recursive: true });
  const scp = JSON.stringify(join(import.meta.dirname, "../../src/helper/scp.ts"));
  await writeFile(
    join(bin, "scp.mjs"),
    `const { serveScp } = await import(${scp});\nprocess.exit(await serveScp(process.argv.slice(2), () => {}));\n`,
  );
  const node = `${process.execPath} --no-warnings`;
  await writeFile(join(bin, "scp"), `#!/bin/sh\nexec ${node} ${join(bin, "scp.mjs")} "$@"\n`, {
    mode: 0o755,
  });

  const logins: { key: PublicKey; algorithm: string; exchanges: Exchange[] }[] = [];
  const stop = new AbortController();
  const server = await listen((stream) => {
    const log = memoryLog();
    accept(
      {
        stream,
        hostKeys: hostKeys.map((key) => key.signer()),
        version: "Teleport",
        check: async ({ key, algorithm }) => {
          if (!authorized.some((one) => sameKey(one, key)))
            throw new Fault("access_denied", "not among the keys of the test");
          return { key, algorithm };
        },
        banner: "a server of a test\n",
        algorithms,
        rekey,
        clock: systemClock,
        log,
      },
      stop.signal,
    ).then(
      (accepted) => {
        const exchanges: Exchange[] = [];
        logins.push({ ...accepted.identity, exchanges });
        void accepted.connection.closed.then(() => {
          const agreed = log.lines.filter(({ message }) => message === "ssh algorithms agreed");
          exchanges.push(...agreed.map(({ fields }) => fields));
        });
        serve(accepted, home);
      },
      () => {}, // the client says why
    );
  });
  return {
    port: server.port,
    logins,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await server[Symbol.asyncDispose]();
    },
  };
}

function serve({ connection }: Accepted<unknown>, home: string): void {
  connection.onOpen(async (request) => {
    if (request.kind === "session") {
      const channel = request.accept();
      channel.onRequest((name, payload) => {
        const asked = readSessionRequest(name, payload);
        if (asked?.name === "exec") void runCommand(channel, asked.body.command, home);
        else if (asked?.name === "shell") void runCommand(channel, "exec sh", home);
        else if (asked?.name === "subsystem" && asked.body.name === "sftp") void runSftp(channel, home);
        else return asked?.name === "env";
        return true;
      });
    } else if (request.kind === "direct-tcpip") {
      const { host, port } = DirectTcpip.decode(request.extra);
      const socket = connectTcp({ host, port, allowHalfOpen: true });
      await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
      void splice(request.accept(), socket).catch(() => {});
    }
  });
  const forwards = new RemoteForwards(connection, (bind, visit) =>
    listen((stream) => visit({ stream, host: "127.0.0.1", port: stream.remotePort ?? 0 }), {
      allowHalfOpen: true,
      port: bind.kind === "tcp" ? bind.port : 0,
    }),
  );
  connection.onRequest((name, payload) => forwards.answer(name, payload) ?? false);
}

async function runCommand(channel: Channel, command: string, home: string): Promise<void> {
  const env = { ...process.env, HOME: home, PATH: `${join(home, "bin")}:/usr/bin:/bin` };
  const child = spawn("/bin/sh", ["-c", command], { cwd: home, env, stdio: "pipe" });
  child.stdin.on("error", () => {}); // one that ends early leaves its input unread
  void (async () => {
    for await (const chunk of channel)
      if (!child.stdin.write(chunk)) await new Promise((resolve) => child.stdin.once("drain", resolve));
    child.stdin.end();
  })().catch(() => child.kill());
  const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.once("exit", (...end) => resolve(end)),
  );
  try {
    await Promise.all([
      (async () => {
        for await (const chunk of child.stdout) await channel.write(chunk as Uint8Array);
      })(),
      (async () => {
        for await (const chunk of child.stderr) await channel.writeStderr(chunk as Uint8Array);
      })(),
    ]);
    const [code, signal] = await ended;
    if (signal) await sendExit(channel, { signal: signal.slice(3), core: false, message: "" });
    else await sendExit(channel, { code: code ?? 0 });
    await channel.close();
  } catch {
    child.kill(); // the client is gone
  }
}

async function runSftp(channel: Channel, home: string): Promise<void> {
  const incoming = channel[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array(0);
  let sent = Promise.resolve();
  const link = {
    async read(into: Uint8Array): Promise<number> {
      if (rest.length === 0) {
        const { done, value } = await incoming.next();
        if (done) return 0;
        rest = value;
      }
      const part = rest.subarray(0, into.length);
      into.set(part);
      rest = rest.subarray(part.length);
      return part.length;
    },
    write(bytes: Uint8Array): void {
      const own = Uint8Array.from(bytes);
      sent = sent.then(() => channel.write(own)).catch(() => {}); // reading finds out
    },
  };
  try {
    await serveSftp(link, new DiskFiles({ home, clock: systemClock }), { maxHandles: 100 });
    await sent;
    await sendExit(channel, { code: 0 });
  } catch {
    // The client is gone.
  } finally {
    await channel.close();
  }
}
