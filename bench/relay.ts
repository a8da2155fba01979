/**
 * A long line: takes connections on a free port of 127.0.0.1 and passes their bytes to another, later and no faster than the line
 * would, each direction with a line of its own that all connections share. The kernel need not know how (tc netem).
 * `node bench/relay.ts --to=PORT --delay=MS --rate=MBITS`; says the port.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
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

  /** Passes on all that comes, and then the end. */
  async carry(from: Socket, into: Socket): Promise<void> {
    const way: { due: number; chunk: Buffer }[] = [];
    let held = 0;
    let ended = false;
    let change = Promise.withResolvers<void>();
    const changed = (): void => {
      change.resolve();
      change = Promise.withResolvers();
    };
    const enter = async (): Promise<void> => {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        const now = performance.now();
        this.#free = Math.max(this.#free, now) + chunk.length / bytesPerMillisecond;
        way.push({ due: this.#free + delay, chunk });
        held += chunk.length;
        changed();
        if (this.#free - now > queue) await sleep(this.#free - now - queue / 2);
        // What the other side does not take holds up the line, as a full window of TCP would.
        while (held > 2 * (delay + queue) * bytesPerMillisecond) await change.promise;
      }
      ended = true;
      changed();
    };
    const leave = async (): Promise<void> => {
      for (;;) {
        const first = way[0];
        if (!first && ended) break;
        const early = first ? first.due - performance.now() : 0;
        if (!first) await change.promise;
        else if (early > 0) await sleep(early);
        else {
          way.shift();
          held -= first.chunk.length;
          if (!into.write(first.chunk)) await once(into, "drain");
          changed();
        }
      }
      into.end();
    };
    await Promise.all([enter(), leave()]);
  }
}

const lines = { up: new Line(), down: new Line() };
const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const target = connect({ host: "127.0.0.1", port: to, allowHalfOpen: true, noDelay: true });
  const carried = Promise.all([lines.up.carry(client, target), lines.down.carry(target, client)]);
  // One that breaks off in the middle is an affair of its ends.
  void carried
    .catch(() => {})
    .finally(() => {
      client.destroy();
      target.destroy();
    });
  for (const socket of [client, target]) socket.on("error", () => {});
});
server.listen(0, "127.0.0.1", () => console.log(`on ${(server.address() as AddressInfo).port}`));
