import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Registry } from "prom-client";
import type { Clock } from "#core/clock";
import type { Service } from "#core/service";
import { type Address, formatAddress, type Listen } from "#net";
import type { Health, Refusal } from "./health.ts";
import { Profiles } from "./profiles.ts";

interface Parts {
  readonly address: Address;
  readonly health: Health;
  readonly metrics: Registry;
  /** Whether `/debug/pprof/` is there. */
  readonly profiles: boolean;
  readonly clock: Clock;
  readonly listen: Listen;
  /** Aborts when another process answers here. */
  readonly leaving: AbortSignal;
  readonly listening: (address: Address) => void;
  /** To the operator, whatever the log's severity. */
  readonly warn: (line: string) => void;
}

/** `/healthz`, `/readyz`, `/metrics` and `/debug/pprof/` over plain HTTP (CFG-150..154). Listens only when asked to. */
export function diagnostics(parts: Parts): Service {
  return {
    name: "diagnostics",
    async run(signal, ready) {
      if (!isLoopback(parts.address.host)) {
        parts.warn(
          `whoever reaches ${formatAddress(parts.address)} can read the diagnostics, for which nobody has to log in; give --diag-addr an address such as 127.0.0.1:${parts.address.port}, or let a firewall choose who may`,
        );
      }
      using profiles = parts.profiles ? await Profiles.start(parts.clock) : undefined;
      const server = createServer((request, response) => {
        answer(request, response, parts, profiles).catch(() => response.destroy());
      });
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

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || /^127\./.test(host);

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { health, metrics }: Pick<Parts, "health" | "metrics">,
  profiles: Profiles | undefined,
): Promise<void> {
  const path = (request.url ?? "/").split("?")[0];
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.writeHead(405, { allow: "GET, HEAD" }).end();
  } else if (path === "/metrics") {
    response.writeHead(200, { "content-type": metrics.contentType }).end(await metrics.metrics());
  } else if (path === "/healthz") {
    const { illness } = health;
    say(request, response, illness === undefined ? undefined : { status: 503, why: illness });
  } else if (path === "/readyz") {
    say(request, response, health.refusal);
  } else if (!(await profiles?.answer(request, response))) {
    response.writeHead(404).end();
  }
}

function say(request: IncomingMessage, response: ServerResponse, refusal: Refusal | undefined): void {
  const status = refusal?.status ?? 200;
  if (request.headers.accept?.startsWith("text/plain")) {
    response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(refusal?.why ?? "OK");
  } else {
    const body = { status: refusal?.why ?? "ok" };
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  }
}
