import { Metrics } from "../../src/daemon/metrics.ts";
import { code, printed, table } from "./markdown.ts";

/** `docs/diagnostics.md`: how to ask a daemon how it does, with every metric. */
export async function diagnosticsPage(): Promise<string> {
  const metrics = new Metrics({ version: "" });
  const own = await rows(metrics);
  metrics.addProcess();
  const known = new Set(own.map(([name]) => name));
  const ofProcess = (await rows(metrics)).filter(([name]) => !known.has(name));
  const head = ["metric", "type", "labels", "what it is"];
  return `${printed}

# Diagnostics

    teleport start --diag-addr=127.0.0.1:3000

Without that flag nothing of this listens. Nobody has to log in to it: give it an address that only those can reach who
may know how the host does; \`teleport start\` warns of one that is not this machine's own.

| path | what it answers |
| --- | --- |
| \`/healthz\` | 200 and \`{"status":"ok"}\` while the process does what it should; 503 with the reason when one of its services has failed, or its event loop stood still for over 5 s |
| \`/readyz\` | the same once every service has joined the cluster and started. 503 before; 503 after a lost heartbeat to the auth server; 400 when heartbeats arrive again, and 200 after two minutes of them |
| \`/metrics\` | numbers for Prometheus |
| \`/debug/pprof/\` | profiles, with \`-d\` only; else 404 |

With \`Accept: text/plain\` the first two answer \`OK\` or the reason as plain text. A liveness probe asks \`/healthz\`, and a load
balancer \`/readyz\`: a proxy that has lost the auth server is alive and serves those who are logged in, but takes no new logins.

## Profiles

    go tool pprof 'http://127.0.0.1:3000/debug/pprof/profile?seconds=30'
    go tool pprof http://127.0.0.1:3000/debug/pprof/heap
    curl -o teleport.cpuprofile 'http://127.0.0.1:3000/debug/pprof/profile?seconds=30&format=v8'

\`profile\` is where the CPU's time went, for up to 300 seconds, one at a time; \`heap\` is where what is alive now was allocated,
by samples of about one in 512 KiB. With \`format=v8\` the answer is a \`.cpuprofile\` or \`.heapprofile\` for the developer tools
of a browser. Names of functions and files are in them, what people type or send is not.

## Metrics

Names without \`teleport_\` are those of the admin guide. Four of them keep the form of their time, which tools of today would
refuse for a counter or gauge, so they have no type; all four can be used as they are. All values of labels come from lists in the program, those of
\`remote_clusters\` from the clusters that are linked: strangers cannot make new series. A metric of a service
that does not run here stays at 0 or is not there.

${table(head, own)}

What Node knows of the process (\`nodejs_eventloop_lag_p99_seconds\` tells how long others had to wait for their turn):

${table(head, ofProcess)}
`;
}

async function rows({ registry }: Metrics): Promise<string[][]> {
  const all = await registry.getMetricsAsJSON();
  return all
    .map(({ name, help, type }) => {
      const { labelNames } = registry.getSingleMetric(name) as unknown as { labelNames: readonly string[] };
      // A placeholder of metrics that are read when asked for, and borders of histograms.
      const labels = labelNames.filter((label) => label !== "none" && label !== "le");
      return [code(name), String(type), labels.map(code).join(", "), help];
    })
    .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
}
