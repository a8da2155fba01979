/**
 * Makes the release's files in dist/, or the folder it is given: the three commands, each a small launcher of its bundle,
 * the Node they run on, and the browser app. Nothing of it needs npm, nor a compiler; what is bundled is what the sources do.
 */
import { chmod, copyFile, cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { builtinModules } from "node:module";
import { join, resolve } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { commitOf } from "../src/cli/version.ts";

const root = join(import.meta.dirname, "..");
const dist = resolve(process.argv[2] ?? join(root, "dist"));
const tools = ["teleport", "tctl", "tsh"];
/** Two folders deep, as the sources are: code that looks for files of the product goes up from itself. */
const app = join(dist, "lib", "app");
/** Holds a native library, so it stays a package; what of it is used. */
const native = {
  "@lydell/node-pty": ["package.json", "requireBinary.js"],
  [`@lydell/node-pty-${process.platform}-${process.arch}`]: ["package.json", "pty.node"],
};

/** Packages of the older kind ask for builtins at run time. */
const banner = `const require = process.getBuiltinModule("node:module").createRequire(import.meta.url);`;

/** Node 26: where `toLegacyObject` of a certificate is what loads tls, tls lacks `createSecureContext` from then on. */
const certificatesAfterTls = `const get = () => (process.getBuiltinModule("node:tls"), process.getBuiltinModule("node:crypto").X509Certificate);
Object.defineProperty(exports, "X509Certificate", { enumerable: true, get });`;

/** What all commands use is in one file with all: each alone was a file of its own, and a millisecond of a command's start. */
const ofEachCommand = [
  "child_process",
  "events",
  "fs",
  "module",
  "os",
  "path",
  "process",
  "tty",
  "url",
  "util",
];

/**
 * Builtins are loaded when they are first used, not when a file that may use them is. An `import` of one would read
 * every property of it, and with that load much more: half of what a short command takes to start.
 */
const lazyBuiltins: Plugin = {
  name: "lazy builtins",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^builtins of each command$/ }, ({ path }) => ({ path, namespace: "together" }));
    onLoad({ filter: /.*/, namespace: "together" }, () => ({
      contents: ofEachCommand.map((name) => `import "node:${name}";`).join("\n"),
    }));
    onResolve({ filter: new RegExp(`^(node:.+|${builtinModules.join("|")})$`) }, ({ path, kind }) => {
      const name = path.replace(/^(?!node:)/, "node:");
      return kind === "dynamic-import"
        ? { path: name, external: true }
        : { path: name, namespace: "builtin" };
    });
    onLoad({ filter: /.*/, namespace: "builtin" }, async ({ path }) => {
      const builtin: unknown = process.getBuiltinModule(path);
      const get = `process.getBuiltinModule(${JSON.stringify(path)})`;
      if (typeof builtin !== "object" || builtin === null) return { contents: `module.exports = ${get};` };
      const names = JSON.stringify(Object.keys(builtin));
      return {
        contents: `let it;
for (const name of ${names})
  Object.defineProperty(exports, name, { configurable: true, enumerable: true, get: () => (it ??= ${get})[name] });
${path === "node:crypto" ? certificatesAfterTls : ""}`,
      };
    });
  },
};

await rm(dist, { recursive: true, force: true });
await bundle();
await withoutBanner();
await Promise.all([
  ...tools.map(launcher),
  packageFile(),
  copyFile(process.execPath, join(dist, "lib", "node")).then(() => chmod(join(dist, "lib", "node"), 0o755)),
  cp(join(root, "web", "dist"), join(dist, "web", "dist"), { recursive: true }),
  ...Object.entries(native).map(([name, files]) => packageFiles(name, files)),
]);

/** Takes the banner out of files that ask for nothing: made for each, it is two milliseconds of a command's start. */
async function withoutBanner(): Promise<void> {
  for (const name of (await readdir(app)).filter((one) => one.endsWith(".js"))) {
    const text = await readFile(join(app, name), "utf8");
    const own = text.replace(banner, "");
    if (!/\brequire\b/.test(own)) await writeFile(join(app, name), own);
  }
}

/** A file for each command, and one before it that has Node keep the code of the other compiled. */
async function bundle(): Promise<void> {
  const options = {
    absWorkingDir: root,
    outdir: app,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node26",
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "linked",
    logLevel: "warning",
    external: Object.keys(native),
    // Node gets yaml's CommonJS, whose exports would be lost where it is loaded by `import()`; the same code is there as ESM.
    alias: { yaml: join(root, "node_modules/yaml/browser/index.js") },
    plugins: [lazyBuiltins],
    banner: { js: banner },
  } as const satisfies BuildOptions;
  await build({
    ...options,
    entryPoints: ["login", "spawner", "socket-server"].map((name) => ({
      in: `src/helper/${name}.ts`,
      out: name,
    })),
  });
  for (const tool of tools) {
    const folder = `src/cli/${tool}`;
    await build({
      ...options,
      splitting: true,
      inject: ["builtins of each command"],
      entryPoints: [{ in: `${folder}/run.ts`, out: `${tool}-run` }],
    });
    await build({
      ...options,
      entryPoints: [{ in: `${folder}/main.js`, out: tool }],
      plugins: [lazyBuiltins, runsBeside(tool)],
    });
  }
}

function runsBeside(tool: string): Plugin {
  return {
    name: "the file to run is beside",
    setup({ onResolve }) {
      onResolve({ filter: /run\.ts$/ }, () => ({ path: `./${tool}-run.js`, external: true }));
    },
  };
}

/** The checkout's own launcher, less its search for a Node and for packages. */
async function launcher(tool: string): Promise<void> {
  const [head, launch] = await Promise.all(
    [join("bin", tool), join("src", "cli", "launch.sh")].map((file) => readFile(join(root, file), "utf8")),
  );
  const start = launch?.slice(launch.indexOf('case "$tool')) ?? "";
  const text = head
    ?.replace('. "$root/src/cli/launch.sh"\n', start)
    .replace("$node", "$root/lib/node")
    .replace("src/cli/$tool/main.js", "lib/app/$tool.js");
  if (!text?.includes("lib/app/$tool.js") || !text.includes("$root/lib/node"))
    throw new Error(`bin/${tool} or src/cli/launch.sh has changed; scripts/build.ts must know how`);
  await mkdir(join(dist, "bin"), { recursive: true });
  await writeFile(join(dist, "bin", tool), text, { mode: 0o755 });
}

async function packageFile(): Promise<void> {
  const { name, version, license } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Record<
    string,
    string
  >;
  const commit = commitOf(root);
  const content = { name, version, license, type: "module", ...(commit !== undefined && { commit }) };
  await writeFile(join(dist, "package.json"), `${JSON.stringify(content, undefined, 2)}\n`);
}

async function packageFiles(name: string, files: readonly string[]): Promise<void> {
  const to = join(dist, "node_modules", name);
  await mkdir(to, { recursive: true });
  for (const file of files) await copyFile(join(root, "node_modules", name, file), join(to, file));
}
