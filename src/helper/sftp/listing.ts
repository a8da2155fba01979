import type { Stats } from "node:fs";

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const halfYear = 182 * 24 * 60 * 60 * 1000;

/** A line of `ls -l` (draft-ietf-secsh-filexfer-02 §7): clients show it, none should read it. */
export function listing(
  name: Uint8Array,
  stats: Stats,
  { user, group, now }: { user: string; group: string; now: Date },
): Uint8Array {
  const { nlink, size, mtime } = stats;
  const head = [
    modeText(stats.mode),
    String(nlink).padStart(3),
    (user || String(stats.uid)).padEnd(8),
    (group || String(stats.gid)).padEnd(8),
    String(size).padStart(8),
    dateText(mtime, now),
  ];
  return Buffer.concat([Buffer.from(`${head.join(" ")} `), name]);
}

/** `-rwxr-xr-x`, as strmode(3). */
export function modeText(mode: number): string {
  const kind = kinds[(mode & 0o170000) >> 12] ?? "?";
  const three = (bits: number, special: boolean, letter: string): string => {
    const run = (bits & 1) !== 0;
    const last = special ? (run ? letter : letter.toUpperCase()) : run ? "x" : "-";
    return `${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${last}`;
  };
  return [
    kind,
    three(mode >> 6, (mode & 0o4000) !== 0, "s"),
    three(mode >> 3, (mode & 0o2000) !== 0, "s"),
    three(mode, (mode & 0o1000) !== 0, "t"),
  ].join("");
}

/** By the number in st_mode (inode(7)). */
const kinds: Readonly<Record<number, string>> = { 1: "p", 2: "c", 4: "d", 6: "b", 8: "-", 10: "l", 12: "s" };

/** The time of day for what is recent, else the year. */
function dateText(date: Date, now: Date): string {
  const day = `${months[date.getMonth()]} ${String(date.getDate()).padStart(2)}`;
  const age = now.getTime() - date.getTime();
  if (age > halfYear || age < -halfYear) return `${day}  ${date.getFullYear()}`;
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}
