import { type Figure, median } from "./figures.ts";

/** What a figure is to reach on a side: by its ratio to the first side, or by its value in the figure's unit. */
interface Goal {
  readonly row: string;
  /** `id` of the figure. */
  readonly of: string;
  readonly side: RegExp;
  readonly by: "ratio" | "value";
  readonly at: "least" | "most";
  readonly reach: number;
}

const stock = /^ours, (ssh -J|proxy)/;
const jump = /^ours, ssh -J/;
const tsh = /^ours, tsh/;
const nodes = /^ours, \d+ nodes/;

const ratio = (row: string, of: string, side: RegExp, at: "least" | "most", reach: number): Goal => ({
  ...{ row, of, side, at, reach },
  by: "ratio",
});
const value = (row: string, of: string, side: RegExp, at: "least" | "most", reach: number): Goal => ({
  ...{ row, of, side, at, reach },
  by: "value",
});
const MiBs = (megabytes: number): number => (megabytes * 1e6) / 2 ** 20;

const goals: readonly Goal[] = [
  ratio("bulk up", "bulk up", stock, "least", 1.5),
  ratio("bulk down", "bulk down", stock, "least", 1.2),
  ratio("bulk up, aes128-gcm", "bulk aes128 up", stock, "least", 1.3),
  ratio("bulk down, aes128-gcm", "bulk aes128 down", stock, "least", 1),
  ratio("servers' CPU, bulk up", "bulk up CPU", stock, "most", 1.5),
  ratio("servers' CPU, bulk down", "bulk down CPU", stock, "most", 1.5),
  ratio("servers' CPU, bulk up, aes128-gcm", "bulk aes128 up CPU", stock, "most", 1.5),
  ratio("servers' CPU, bulk down, aes128-gcm", "bulk aes128 down CPU", stock, "most", 1.5),
  ratio("bulk up, tsh", "bulk up", tsh, "least", 1.2),
  ratio("bulk down, tsh", "bulk down", tsh, "least", 1),
  ratio("exec true", "exec", stock, "most", 0.4),
  ratio("exec true, tsh", "exec", tsh, "most", 0.4),
  ratio("echo p50", "echo p50", stock, "most", 1.3),
  ratio("echo p99", "echo p99", stock, "most", 1.2),
  value("echo p99 beside a transfer up, ms", "echo p99 beside up", stock, "most", 40),
  value("echo p99 beside a transfer down, ms", "echo p99 beside down", stock, "most", 40),
  ratio("connections, 8 in parallel", "rate", stock, "least", 2),
  ratio("connections, 8 in parallel, tsh", "rate", tsh, "least", 1.5),
  value("an idle session of 300, KiB", "memory", stock, "most", 250),
  value("memory after their end, of before", "memory after", stock, "most", 1.1),
  value("heartbeats of 10,000 nodes, % of a core at auth", "heartbeats", nodes, "most", 25),
  value("tsh ls of 10,000 nodes, ms", "tsh ls", nodes, "most", 1000),
  value("a node looked up and dialled at the proxy, p50, ms", "lookup p50", nodes, "most", 5),
  ratio("sftp get", "sftp get", stock, "least", 1.1),
  ratio("sftp put", "sftp put", stock, "least", 1.1),
  ratio("50 ms away at 100 Mbit/s, up", "wan 100 up", jump, "least", 0.9),
  ratio("50 ms away at 100 Mbit/s, down", "wan 100 down", jump, "least", 0.9),
  ratio("50 ms away at 100 Mbit/s, up, tsh", "wan 100 up", tsh, "least", 0.9),
  ratio("50 ms away at 100 Mbit/s, down, tsh", "wan 100 down", tsh, "least", 0.9),
  value("50 ms away at 1 Gbit/s, up, tsh, MiB/s", "wan 1000 up", tsh, "least", MiBs(50)),
  value("50 ms away at 1 Gbit/s, down, tsh, MiB/s", "wan 1000 down", tsh, "least", MiBs(50)),
];

export interface Outcome {
  readonly row: string;
  readonly side: string;
  readonly reached: number;
  readonly at: "least" | "most";
  readonly goal: number;
  readonly ok: boolean;
}

/** How what was measured compares with what is to be reached; nothing about what was not measured. */
export function outcomes(figures: readonly Figure[]): Outcome[] {
  return goals.flatMap(({ row, of, side, by, at, reach: goal }) => {
    const found = figures.find(({ id }) => id === of)?.sides ?? [];
    const base = by === "ratio" ? median(found[0]?.values ?? []) : 1;
    return found
      .filter(({ name }) => side.test(name))
      .map(({ name, values }) => {
        const reached = median(values) / base;
        return { row, side: name, reached, at, goal, ok: at === "least" ? reached >= goal : reached <= goal };
      });
  });
}

export function outcomeTable(all: readonly Outcome[]): string {
  const rows = all.map(({ row, side, reached, at, goal, ok }) => [
    row,
    side,
    reached.toFixed(2),
    `at ${at}`,
    goal.toFixed(2),
    ok ? "ok" : "missed",
  ]);
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")).join("\n");
}
