import { execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { issueCertificate, noExpiry, type PrivateKey, type PublicKey } from "#ssh/keys";
import { listen, scratch } from "./openssh.ts";

/** Bytes. */
export const MiB = 1024 * 1024;
export const blob = randomBytes(24 * MiB);
/** SHA-256 in hex. */
export const sum = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
export const blobSum = sum(blob);

export async function certify(
  ca: PrivateKey,
  key: PublicKey,
  type: "user" | "host",
  principal: string,
): Promise<PublicKey> {
  return issueCertificate(
    {
      key,
      type,
      keyId: `${type} ${principal}`,
      serial: 1n,
      principals: [principal],
      validAfter: 0n,
      validBefore: noExpiry,
      ...(type === "user" && {
        extensions: new Map([
          ["permit-pty", ""],
          ["permit-port-forwarding", ""],
        ]),
      }),
    },
    ca.signer(),
  );
}

export async function collect(from: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of from) parts.push(part);
  return Buffer.concat(parts);
}

/** A stock ssh-agent that holds these keys, with their certificates. */
export async function startAgent(keys: readonly string[]) {
  const folder = await scratch();
  const path = join(folder.path, "agent");
  const agent = spawn("ssh-agent", ["-D", "-a", path], { stdio: ["ignore", "pipe", "ignore"] });
  await until(agent.stdout, /SSH_AUTH_SOCK/);
  const env = { ...process.env, SSH_AUTH_SOCK: path };
  for (const key of keys) execFileSync("ssh-add", ["-q", key], { env, stdio: "ignore" });
  return {
    path,
    env,
    async [Symbol.asyncDispose]() {
      const ended = new Promise((resolve) => agent.once("exit", resolve));
      agent.kill("SIGTERM");
      await ended;
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Waits until a stream that someone else reads has said `what`. */
export function until(stream: NodeJS.ReadableStream, what: RegExp): Promise<RegExpExecArray> {
  let said = "";
  return new Promise((resolve, reject) => {
    stream.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      const found = what.exec(said);
      if (found) resolve(found);
    });
    stream.once("close", () => reject(new Error(`never said ${what}: ${said}`)));
  });
}

export const dialHalfOpen = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    socket.once("connect", () => resolve(socket)).once("error", reject);
  });

/** Answers all that it is sent, once it ends, by its digest. */
export const sumServer = () =>
  listen(
    (socket) => {
      // Not by iteration, whose end would destroy the socket before it has answered.
      const hash = createHash("sha256");
      socket
        .on("data", (chunk: Buffer) => hash.update(chunk))
        .on("end", () => socket.end(hash.digest("hex")));
    },
    { allowHalfOpen: true },
  );
