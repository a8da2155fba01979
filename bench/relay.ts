/**
 * A long line: takes connections on a free port of 127.0.0.1 and passes their bytes to another, later and no faster than the line
 * would, each direction with a line of its own that all connections share. The kernel need not know how (tc netem).
 * `node bench/relay.ts --to=PORT --delay=MS --rate=MBITS`; says the port.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { parseArgs } from "node:util";

/** What may wait at the entrance of the line, in milliseconds of its rate: the queue of a router. */
const queue = 10;

const { values: flags } = parseArgs({
  options: { to: { type: "string" }, delay: { type: "string" }, rate: { type: "string" } },
});
const [to, delay, rate] = [flags.to, flags.delay, flags.rate].map(Number) as [number, number, number];
if (![to, delay, rate].every((n) => n > 0)) throw new Error("--to, --delay and --rate are numbers above 0");
const bytesPerMillisecond = (rate * 1e6) / 8 / 1000;

/** One direction. */
class Line {
  /** When all that was given to it has left its entrance. */
  #free = 0;

  carry(from: Socket, into: Socket): void {
    const waiting: { due: number; chunk: Buffer | undefined }[] = [];
    let timer: NodeJS.Timeout | undefined;
    const put = (chunk: Buffer | undefined): void => {
      const now = performance.now();
      this.#free = Math.max(this.#free, now) + (chunk?.length ?? 0) / bytesPerMillisecond;
      waiting.push({ due: this.#free + delay, chunk });
      timer ??= setTimeout(deliver, delay);
      if (this.#free - now <= queue) return;
      from.pause();
      setTimeout(() => from.resume(), this.#free - now - queue / 2);
    };
    const deliver = (): void => {
      timer = undefined;
      const now = performance.now();
      for (let first = waiting[0]; first !== undefined && first.due <= now; first = waiting[0]) {
        waiting.shift();
        if (first.chunk) into.write(first.chunk);
        else into.end();
      }
      const next = waiting[0];
      if (!next) return;
      // What the other side does not take holds up the line, as a full window of TCP would.
      if (into.writableLength > bytesPerMillisecond * queue && !into.destroyed) into.once("drain", deliver);
      else timer = setTimeout(deliver, Math.max(0, next.due - now));
    };
    from.on("data", put);
    from.once("end", () => put(undefined));
    from.once("close", () => {
      if (!from.readableEnded) into.destroy();
    });
    from.on("error", () => {});
  }
}

const lines = { up: new Line(), down: new Line() };
const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const target = connect({ host: "127.0.0.1", port: to, allowHalfOpen: true, noDelay: true });
  lines.up.carry(client, target);
  lines.down.carry(target, client);
});
server.listen(0, "127.0.0.1", () => console.log(`on ${(server.address() as AddressInfo).port}`));
