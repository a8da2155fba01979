import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { promisify } from "node:util";
import { TestClock } from "#core/clock";
import { silentLog } from "#core/log";
import { systemRandom } from "#core/random";
import { Connector } from "#model";
import { listenHttps } from "#net";
import { webApi } from "#webapi";
import { selfSigned } from "../self-signed.ts";
import { type Browser, openChromium, skip } from "./chromium.ts";
import { FakeAuth } from "./fake-auth.ts";

export { skip };

/** The browser app as it would be released, built once a run into a folder of its own. */
let pages: Promise<string> | undefined;
after(async () => {
  if (pages !== undefined) await rm(await pages, { recursive: true });
});
async function build(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pages-"));
  const vite = join(import.meta.dirname, "../../node_modules/vite/bin/vite.js");
  await promisify(execFile)(process.execPath, [
    ...[vite, "build", join(import.meta.dirname, "../../web"), "--outDir", folder],
    ...["--emptyOutDir", "--logLevel", "error"],
  ]);
  return folder;
}

/** A proxy's web port with the real pages and a fake auth behind it, and a Chromium to visit it. */
export interface Site extends Browser {
  readonly auth: FakeAuth;
  readonly clock: TestClock;
  readonly url: string;
}

export async function openSite(secondFactor: "off" | "otp" = "otp"): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  pages ??= build();
  const clock = new TestClock();
  const auth = new FakeAuth(clock, secondFactor);
  const app = await webApi({
    auth,
    clock,
    pages: await pages,
    random: systemRandom,
    log: silentLog,
    proxy: { kube: { enabled: false }, ssh: {} },
    versions: { server_version: "5.0.0", min_client_version: "5.0.0" },
    health: () => undefined,
    knowsCluster: (name) => name === "main",
    can: () => false,
  });
  stack.defer(() => app.close());
  const server = stack.use(
    await listenHttps(app, {
      address: { host: "127.0.0.1", port: 0 },
      setting: "web_listen_addr",
      pair: selfSigned(),
      maxConnections: 100,
      log: silentLog,
    }),
  );
  const url = `https://127.0.0.1:${server.address.port}`;
  const browser = stack.use(await openChromium(url));
  const open = stack.move();
  return {
    auth,
    clock,
    url,
    visit: browser.visit,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** A GitHub connector, as the login page shows it. */
export const connector = (name: string, display: string): Connector =>
  Connector.parse({
    kind: "github",
    version: "v3",
    metadata: { name },
    spec: { client_id: "id", redirect_url: "https://localhost/v1/webapi/github/callback", display },
  });
