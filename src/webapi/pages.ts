import { readFile } from "node:fs/promises";
import { join } from "node:path";
import files from "@fastify/static";
import type { WebConfig } from "#contract/web";
import { Fault } from "#core/errors";
import { type App, csrfToken } from "#net";
import type { WebApiOptions } from "./options.ts";

/** The browser app (WEB-01): one page for every path under /web, its files, and what it knows from the start. */
export async function pageRoutes(
  app: App,
  { pages, random }: Pick<WebApiOptions, "pages" | "random">,
  webConfig: () => Promise<WebConfig>,
): Promise<void> {
  await app.register(files, {
    root: join(pages, "app"),
    prefix: "/web/app/",
    index: false,
    dotfiles: "ignore",
    preCompressed: true,
    cacheControl: false,
    // A file's name changes with its content.
    setHeaders: (reply) => {
      reply.header("cache-control", "public, max-age=31536000, immutable");
      reply.removeHeader("pragma").removeHeader("expires");
    },
  });

  app.get("/", (_, reply) => reply.redirect("/web"));
  app.get("/web/config.js", async (_, reply) => {
    const config: WebConfig = await webConfig().catch((error: unknown) => ({
      message: error instanceof Fault ? error.message : "the proxy cannot say how to sign in",
    }));
    return reply.type("text/javascript; charset=utf-8").send(`globalThis.GRV_CONFIG = ${literal(config)};\n`);
  });
  for (const path of ["/web", "/web/*"]) {
    app.get(path, async (request, reply) => {
      const html = await readFile(join(pages, "index.html"), "utf8").catch(() => undefined);
      if (html === undefined) {
        throw new Fault("unreachable", "the web pages are not built here; run `make deps` and reload");
      }
      // The token is hex, so it needs no escaping.
      const page = html.replace("%CSRF%", csrfToken(request, reply, random));
      return reply.type("text/html; charset=utf-8").send(page);
    });
  }
}

/** A value as JavaScript that is safe in a script, whatever names it holds. */
const literal = (value: unknown): string =>
  JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
