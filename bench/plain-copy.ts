import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

export interface PlainCopy extends AsyncDisposable {
  readonly name: string;
  /** The port of 127.0.0.1 where it listens. */
  readonly door: number;
  /** Sends all bytes to `port`, or gets them from there; the seconds until the last of them is known to have arrived. */
  copy(port: number, direction: "up" | "down"): Promise<number>;
}

/** What TCP does without any protocol on it but a first byte, which says who sends. */
export async function plainCopy(bytes: number): Promise<PlainCopy> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    socket.once("data", (first) => {
      if (first[0] === "d".charCodeAt(0)) void send(socket, bytes);
      else socket.once("end", () => socket.end());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    name: "plain TCP",
    door: (server.address() as AddressInfo).port,
    async copy(port, direction) {
      const started = performance.now();
      const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      const ended = new Promise((resolve, reject) => socket.once("end", resolve).once("error", reject));
      let got = 0;
      socket.on("data", (chunk) => {
        got += chunk.length;
      });
      socket.write(direction === "up" ? "u" : "d");
      if (direction === "up") await send(socket, bytes);
      await ended;
      socket.destroy();
      if (direction === "down" && got !== bytes) throw new Error(`${got} bytes of ${bytes} have come`);
      return (performance.now() - started) / 1000;
    },
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
}

async function send(socket: Socket, bytes: number): Promise<void> {
  const chunk = Buffer.alloc(64 * 1024);
  function* zeros(): Generator<Buffer> {
    for (let left = bytes; left > 0; left -= chunk.length)
      yield chunk.subarray(0, Math.min(left, chunk.length));
  }
  await pipeline(Readable.from(zeros()), socket);
}
