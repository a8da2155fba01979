/**
 * Makes the release's archive of what scripts/build.ts put into dist/, or the folder it is given: adds the licences and an
 * installer to it, and packs it as teleport-vVERSION-PLATFORM.tar.gz beside its SHA-256, in that same folder.
 */
import { execFileSync } from "node:child_process";
import { chmod, copyFile, cp, readFile, writeFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { build } from "esbuild";
import { digestOf, packArchive } from "./release/archive.ts";
import { licencesOf } from "./release/licences.ts";

const root = join(import.meta.dirname, "..");
const dist = resolve(process.argv[2] ?? join(root, "dist"));
/** What scripts/build.ts makes, and what is added here. */
const built = ["bin", "lib", "web", "node_modules", "package.json"];
const added = ["LICENSE", "LICENSES.txt", "CHANGELOG.md", "install", "systemd"];

await Promise.all([
  copyFile(join(root, "LICENSE"), join(dist, "LICENSE")),
  copyFile(join(root, "CHANGELOG.md"), join(dist, "CHANGELOG.md")),
  cp(join(root, "systemd"), join(dist, "systemd"), { recursive: true }),
  writeFile(join(dist, "LICENSES.txt"), licencesOf(root)),
  copyFile(join(root, "scripts/release/install.sh"), join(dist, "install")).then(() =>
    chmod(join(dist, "install"), 0o755),
  ),
  build({
    entryPoints: [join(root, "scripts/release/install.ts")],
    outfile: join(dist, "lib/install.js"),
    format: "esm",
    platform: "node",
    target: "node26",
    logLevel: "warning",
  }),
]);
const { version } = JSON.parse(await readFile(join(dist, "package.json"), "utf8")) as { version: string };
const names = [...built, ...added];
// Two builds of one version are told apart by what they contain: each is installed into a folder of its own.
const name = `v${version}-${(await digestOf(dist, names)).slice(0, 12)}`;
await writeFile(join(dist, "release.json"), `${JSON.stringify({ name })}\n`);
const top = `teleport-v${version}-${process.platform}-${process.arch}`;
const file = join(dist, `${top}.tar.gz`);
await packArchive({ folder: dist, names: [...names, "release.json"], top, file, time: timeOfSources() });
console.log(relative(process.cwd(), file));

/** Of the commit, so that it is the same for everybody (reproducible-builds.org has the variable). */
function timeOfSources(): number {
  const told = process.env.SOURCE_DATE_EPOCH;
  if (told !== undefined) return Number(told);
  try {
    return Number(execFileSync("git", ["-C", root, "log", "-1", "--format=%ct"], { encoding: "utf8" }));
  } catch {
    return 0; // sources that are no checkout
  }
}
