import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Registry } from "prom-client";
import type { Clock, Millis } from "#core/clock";
import { second } from "#core/clock";
import type { Service } from "#core/service";
import type { Address, Listen } from "#net";

/** Whether the process does what it should: fed by its parts, read by the endpoints and by the proxy's ping. */
export class Health {
  readonly #clock: Clock;
  readonly #waiting = new Set<string>();
  #failure: string | undefined;
  #beat: Millis;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#beat = clock.now();
  }

  /** Names a part that must be ready before the process is. */
  expect(part: string): () => void {
    this.#waiting.add(part);
    return () => void this.#waiting.delete(part);
  }

  failed(part: string, err: Error): void {
    this.#failure ??= `${part}: ${err.message}`;
  }

  /** Ticks of the event loop: when they stay away, nothing is served. */
  async watchLoop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#beat = this.#clock.now();
      await this.#clock.sleep(second, signal, { background: true }).catch(() => {});
    }
  }

  /** Why the process is not healthy, or undefined. */
  get illness(): string | undefined {
    if (this.#failure !== undefined) return this.#failure;
    return this.#clock.now() - this.#beat > blockedFor
      ? "the event loop was blocked for over 5 s"
      : undefined;
  }

  /** What is not ready yet, or undefined when all is. */
  get pending(): string | undefined {
    return this.#waiting.size === 0 ? undefined : [...this.#waiting].join(", ");
  }
}

const blockedFor: Millis = 6 * second;

/** `/healthz`, `/readyz` and `/metrics` over plain HTTP (CFG-150..154). Listens only when asked to. */
export function diagnostics(parts: {
  readonly address: Address;
  readonly health: Health;
  readonly metrics: Registry;
  readonly listen: Listen;
  /** Aborts when another process answers here. */
  readonly leaving: AbortSignal;
  readonly listening: (address: Address) => void;
}): Service {
  return {
    name: "diagnostics",
    async run(signal, ready) {
      const server = createServer((request, response) => void answer(request, response, parts));
      parts.listening(await parts.listen(server, parts.address, "--diag-addr"));
      ready();
      const over = AbortSignal.any([signal, parts.leaving]);
      await new Promise<void>((resolve) => {
        if (over.aborted) resolve();
        else over.addEventListener("abort", () => resolve(), { once: true });
      });
      server.close();
      server.closeAllConnections();
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { health, metrics }: { health: Health; metrics: Registry },
): Promise<void> {
  const path = (request.url ?? "/").split("?")[0];
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.writeHead(405, { allow: "GET, HEAD" }).end();
  } else if (path === "/metrics") {
    response.writeHead(200, { "content-type": metrics.contentType }).end(await metrics.metrics());
  } else if (path === "/healthz") {
    say(request, response, health.illness);
  } else if (path === "/readyz") {
    say(request, response, health.illness ?? (health.pending && `not ready yet: ${health.pending}`));
  } else {
    response.writeHead(404).end();
  }
}

function say(request: IncomingMessage, response: ServerResponse, problem: string | undefined): void {
  const status = problem === undefined ? 200 : 503;
  if (request.headers.accept?.startsWith("text/plain")) {
    response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(problem ?? "OK");
  } else {
    const body = { status: problem === undefined ? "ok" : problem };
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  }
}
