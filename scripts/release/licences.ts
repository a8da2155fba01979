import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

interface Locked {
  readonly version?: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/**
 * The licences of all that a release contains of others: Node, and every package that a file of `src/` or `web/src/` names,
 * with the packages those need. Throws for a package without a licence.
 */
export function licencesOf(root: string): string {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Readonly<Record<string, Locked>>;
  };
  const node = `node-${process.platform}-${process.arch}`;
  const found = new Map<string, Locked>();
  const add = (path: string): void => {
    const locked = lock.packages[path];
    if (!locked || found.has(path)) return;
    found.set(path, locked);
    for (const name of Object.keys(locked.dependencies ?? {})) add(resolved(name, path, lock.packages));
  };
  const named = [...namedIn(join(root, "src")), ...namedIn(join(root, "web/src"))];
  for (const name of [...named, `@lydell/node-pty-${process.platform}-${process.arch}`])
    add(`node_modules/${name}`);
  const parts = [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, locked]) => part(path.replace(/^.*node_modules\//, ""), locked, join(root, path)));
  const ofNode = join(root, "node_modules", node);
  // A machine whose Node is not a package of ours brings its own licence along.
  const nodeLicence = existsSync(ofNode)
    ? [part("Node.js", lock.packages[`node_modules/${node}`] ?? {}, ofNode)]
    : [];
  return `What this release contains of others, and their licences.\n\n${[...nodeLicence, ...parts].join("\n")}`;
}

/** Where `name` is found by the package at `path`: the nearest of the folders above it. */
function resolved(name: string, path: string, packages: Readonly<Record<string, Locked>>): string {
  for (let at = path; at !== ""; at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")))) {
    const nested = `${at}/node_modules/${name}`;
    if (packages[nested]) return nested;
  }
  return `node_modules/${name}`;
}

/** The packages that the files under `folder` import, tests left out. */
function namedIn(folder: string): Set<string> {
  const names = new Set<string>();
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile() || !/\.(ts|tsx|js)$/.test(entry.name) || /\.test\.tsx?$/.test(entry.name)) continue;
    const text = readFileSync(join(entry.parentPath, entry.name), "utf8");
    for (const [, name = ""] of text.matchAll(
      /(?:from |import |import\(|require\()["']((?:@[\w.-]+\/)?[\w.-]+)(?:\/[^"']*)?["']/g,
    ))
      if (!name.startsWith(".")) names.add(name);
  }
  return names;
}

function part(name: string, { version = "", license }: Locked, folder: string): string {
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|notice)(\.|-|$)/i.test(file));
  const texts = files.sort().map((file) => readFileSync(join(folder, file), "utf8").trim());
  if (texts.length === 0 && license === undefined) throw new Error(`${name} has no licence`);
  const title = `${name} ${version}`.trim();
  const rule = "=".repeat(78);
  return `${rule}\n${title}${license === undefined ? "" : `: ${license}`}\n${rule}\n\n${texts.join("\n\n") || `Licence: ${license}. The package brings no text of it.`}\n`;
}
