import { existsSync } from "node:fs";
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const executablePath = "/usr/bin/chromium";
/** Why tests with a browser cannot run here; false when they can. */
export const skip = existsSync(executablePath) ? false : `there is no ${executablePath}`;

const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export interface Visitor {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What the page's console complained about so far. */
  readonly complaints: string[];
}

export interface Browser extends AsyncDisposable {
  /** A new person with a fresh profile, whose relative addresses begin at `url`. */
  visit(options?: BrowserContextOptions): Promise<Visitor>;
}

/** `home`: of somebody whose browser knows an authority of the site's; without one no certificate is verified. */
export async function openChromium(url: string, home?: string): Promise<Browser> {
  const env = { ...process.env, ...(home !== undefined && { HOME: home }) };
  const browser = await chromium.launch({ executablePath, args, env });
  return {
    async visit(options) {
      const context = await browser.newContext({
        ignoreHTTPSErrors: home === undefined,
        baseURL: url,
        ...options,
      });
      const page = await context.newPage();
      page.setDefaultTimeout(10_000);
      const complaints: string[] = [];
      page.on("console", (line) => {
        if (["error", "warning"].includes(line.type())) complaints.push(line.text());
      });
      page.on("pageerror", (error) => complaints.push(error.message));
      return { page, context, complaints };
    },
    [Symbol.asyncDispose]: () => browser.close(),
  };
}
