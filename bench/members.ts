/**
 * Nodes of a cluster as its auth service sees them, in a process of their own: `node bench/members.ts FILE`, where the file holds a
 * `Members` in JSON. Each has a certificate and a connection of its own. Says `listening PORT` for where their SSH would
 * be, `registered` when all are, and a line for each that is lost.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { openAuthClient } from "#authclient";
import { day, minute, systemClock } from "#core/clock";
import { systemRandom } from "#core/random";
import type { Node } from "#model";
import { issueTls, makeTlsKey, type TlsPair } from "#pki";
import { Heartbeat } from "../src/daemon/heartbeat.ts";

export interface Members {
  readonly count: number;
  readonly cluster: string;
  readonly authPort: number;
  readonly hostCa: TlsPair;
}

const atOnce = 20;
/** Source addresses: a port of ours leads to one port of theirs once only. */
const sources = 8;

const members = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as Members;
const key = await makeTlsKey("ecdsa-p256");
const ssh = createServer((socket) => socket.on("error", () => {}).end());
await new Promise<void>((resolve) => ssh.listen(0, "127.0.0.1", resolve));
const { port } = ssh.address() as { port: number };
console.log(`listening ${port}`);
let next = 0;
await Promise.all(
  Array.from({ length: atOnce }, async () => {
    while (next < members.count) await register(next++);
  }),
);
console.log("registered");

async function register(i: number): Promise<void> {
  const id = randomUUID();
  const cert = await issueTls({
    ca: members.hostCa,
    publicKey: key.publicKey,
    subject: { commonName: `${id}.${members.cluster}`, organizations: ["Node"] },
    notBefore: Date.now() - minute,
    notAfter: Date.now() + day,
  });
  const client = openAuthClient({
    dial: () => dial(i),
    certificate: { cert, key: key.privateKey },
    authorities: [members.hostCa.cert],
    clusterName: members.cluster,
    version: "5.0.0",
  });
  const record: Node = {
    kind: "node",
    version: "v2",
    metadata: {
      name: id,
      labels: { env: i % 10 === 0 ? "staging" : "prod", rack: `r${i % 100}`, role: "web" },
    },
    spec: {
      hostname: `node-${i}.example.com`,
      addr: `127.0.0.1:${port}`,
      version: "5.0.0",
      cmd_labels: { kernel: { command: ["/bin/uname", "-r"], period: "1h0m0s", result: "6.1.0-26-amd64" } },
    },
  };
  const announce = (): Promise<void> => client["nodes.announce"](record);
  const lost = (err: unknown): void => console.log(`lost node ${i}: ${(err as Error).message}`);
  await announce();
  const heartbeat = new Heartbeat({ client, clock: systemClock, random: systemRandom });
  heartbeat.there("node", {
    record,
    lost: () => void announce().catch(lost),
    heartbeats: { good: () => {}, lost: () => {} },
  });
  const { promise: live, resolve } = Promise.withResolvers<void>();
  void (async () => {
    for await (const { type } of heartbeat.client["mirror.watch"]({})) if (type === "live") resolve();
    throw new Error("its watch ended");
  })().catch(lost);
  await live;
}

function dial(i: number): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const localAddress = `127.0.0.${2 + (i % sources)}`;
  const socket = connect({ host: "127.0.0.1", port: members.authPort, localAddress });
  socket.once("connect", () => resolve(socket)).once("error", reject);
  return promise;
}
