import { suite, test } from "node:test";
import { Metrics } from "../../src/daemon/metrics.ts";
import { skipUnless } from "../support/installed.ts";
import { mustRun } from "../support/run.ts";

suite("metrics", () => {
  test("promtool finds nothing to complain of", { skip: skipUnless("promtool") }, async () => {
    const metrics = new Metrics({ version: "5.0.0" });
    metrics.addProcess();
    metrics.limits.of("proxy");
    metrics.show("audit_failed_emit_events", () => 0);
    metrics.show("trusted_clusters", () => 0);
    metrics.show("teleport_ready", () => 1);
    await mustRun("promtool", ["check", "metrics"], { input: await metrics.registry.metrics() });
  });
});
