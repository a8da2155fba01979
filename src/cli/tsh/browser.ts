import { spawn } from "node:child_process";
import type { BrowserLogin } from "#client";
import { systemClock } from "#core/clock";
import { systemRandom } from "#core/random";
import type { TshContext } from "./globals.ts";

/** How a login in the browser meets the person: all of `BrowserLogin` but what the proxy is asked (TSH-33). */
export const inBrowser = ({ flags, io, signal }: TshContext): Omit<BrowserLogin, "start"> => ({
  show(address) {
    io.err("Log in on the page that your browser opens now. If it opens none, go there yourself:");
    io.err(`  ${address}`);
    open(address, io.env);
  },
  bindAddr: flags.bindAddr,
  clock: systemClock,
  random: systemRandom,
  signal,
});

const openers: Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>> = {
  darwin: ["open"],
  win32: ["rundll32", "url.dll,FileProtocolHandler"],
};

/** Without a desktop nothing opens; the address has been printed. */
function open(address: string, env: NodeJS.ProcessEnv): void {
  const [command, ...args] = openers[process.platform] ?? ["xdg-open"];
  spawn(command, [...args, address], { env, stdio: "ignore", detached: true })
    .on("error", () => {})
    .unref();
}
