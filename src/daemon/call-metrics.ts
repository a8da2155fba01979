import type { IncomingMessage, ServerResponse } from "node:http";
import { Counter, Histogram, type Registry } from "prom-client";
import { type AuthContract, authContract } from "#contract/auth";
import type { Handlers } from "#contract/rpc";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";

/** The part of a web application that a listener needs. */
interface Application {
  ready(): PromiseLike<unknown>;
  routing(request: IncomingMessage, response: ServerResponse): void;
}

type Handler = (...args: unknown[]) => unknown;

/** Calls of the auth API by name, requests of the web port by how they were answered. */
export class CallMetrics {
  readonly #calls: Histogram;
  readonly #failures: Counter;
  readonly #requests: Histogram;

  constructor(registry: Registry, buckets: readonly number[]) {
    const registers = [registry];
    this.#calls = new Histogram({
      name: "teleport_auth_call_seconds",
      help: "How long calls of the auth API took, streams until they began.",
      labelNames: ["call"],
      buckets: buckets.filter((_, i) => i % 2 === 1), // one set for each call
      registers,
    });
    this.#failures = new Counter({
      name: "teleport_auth_call_failures_total",
      help: "Calls of the auth API that were let in and failed, by why.",
      labelNames: ["call", "kind"],
      registers,
    });
    this.#requests = new Histogram({
      name: "teleport_web_request_seconds",
      help: "How long the web port took to answer, by the class of the status.",
      labelNames: ["status"],
      buckets: [...buckets],
      registers,
    });
  }

  /** The same handlers, counted. */
  ofHandlers(handlers: Handlers<AuthContract>, clock: Pick<Clock, "uptime">): Handlers<AuthContract> {
    const counted = (call: string, handle: Handler): Handler => {
      this.#calls.zero({ call });
      return async (...args) => {
        const began = clock.uptime();
        try {
          return await handle(...args);
        } catch (err) {
          this.#failures.inc({ call, kind: err instanceof Fault ? err.kind : "internal" });
          throw err;
        } finally {
          this.#calls.observe({ call }, (clock.uptime() - began) / 1000);
        }
      };
    };
    const names = Object.keys(authContract) as (keyof AuthContract)[];
    const all = names.map((name) => [name, counted(name, handlers[name] as Handler)]);
    return Object.fromEntries(all) as Handlers<AuthContract>;
  }

  /** The same application, counted. */
  ofWeb(app: Application, clock: Pick<Clock, "uptime">): Application {
    for (const status of ["2xx", "3xx", "4xx", "5xx"]) this.#requests.zero({ status });
    return {
      ready: () => app.ready(),
      routing: (request, response) => {
        const began = clock.uptime();
        response.once("close", () => {
          const status = `${Math.floor(response.statusCode / 100)}xx`;
          this.#requests.observe({ status }, (clock.uptime() - began) / 1000);
        });
        app.routing(request, response);
      },
    };
  }
}
