import type { Log } from "#core/log";

/**
 * Writes what a process is busy with to the log (DEC-17): its age, memory in bytes, how much of the event loop's time was
 * work, what it holds open by kind, and its versions.
 */
export function describe(log: Pick<Log, "info">, about: Readonly<Record<string, unknown>>): void {
  const { rss, heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage();
  const { utilization } = performance.eventLoopUtilization();
  const kinds = Map.groupBy(process.getActiveResourcesInfo(), (kind) => kind);
  const { node, v8, openssl, uv } = process.versions;
  log.info("diagnostics", {
    pid: process.pid,
    uptime_seconds: Math.round(process.uptime()),
    ...about,
    event_loop_utilization: Number(utilization.toFixed(4)),
    ...{ rss, heap_used: heapUsed, heap_total: heapTotal, external, array_buffers: arrayBuffers },
    handles: Object.fromEntries([...kinds].map(([kind, all]) => [kind, all.length])),
    ...{ node, v8, openssl, uv },
  });
}
