import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Packs each text file once at build time, so that the proxy never has to. */
const packed: Plugin = {
  name: "packed",
  apply: "build",
  async writeBundle({ dir = "" }) {
    const folder = join(dir, "app");
    for (const name of await readdir(folder)) {
      if (!/\.(js|css|svg)$/.test(name)) continue;
      const bytes = await readFile(join(folder, name));
      await writeFile(join(folder, `${name}.br`), brotliCompressSync(bytes));
      await writeFile(join(folder, `${name}.gz`), gzipSync(bytes, { level: 9 }));
    }
  },
};

// `#…` imports resolve by package.json, as everywhere else.
export default defineConfig({
  base: "/web/",
  logLevel: "warn",
  plugins: [react(), packed],
  build: {
    outDir: "dist",
    assetsDir: "app",
    // No data: URLs and no inline script: the pages' content security policy knows neither.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The first browsers with light-dark().
    target: ["chrome123", "firefox120", "safari17.5"],
  },
});
