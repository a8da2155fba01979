import { readFile } from "node:fs/promises";
import type { AuthContract } from "#contract/auth";
import type { Client } from "#contract/rpc";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Service } from "#core/service";
import { type Address, dial, formatAddress, parseAddress } from "#net";
import { writeWhole } from "./data-dir.ts";

export type AuthStream = Awaited<ReturnType<typeof dial>>;

const refreshEvery: Millis = 30 * second;
/** One that failed is not asked before the others for so long (HA-03). */
const restFor: Millis = 10 * second;
/** An address that drops packets must not keep us from the next. */
const dialPatience: Millis = 5 * second;

/**
 * Where a member finds the auth service (HA-04): by the addresses that the cluster told and `<data_dir>/authservers.json` keeps,
 * before those of the configuration; by those of `--auth-server` alone where that is given.
 */
export class AuthServers {
  readonly #path: string;
  readonly #listed: readonly Address[];
  readonly #byFlag: boolean;
  readonly #clock: Clock;
  readonly #log: Log;
  #known: readonly Address[] = [];
  readonly #failed = new Map<string, Millis>();

  private constructor(parts: Parameters<typeof AuthServers.open>[0]) {
    this.#path = parts.path;
    this.#listed = parts.listed;
    this.#byFlag = parts.byFlag;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  static async open(parts: {
    /** `<data_dir>/authservers.json`; one that cannot be read is passed over. */
    readonly path: string;
    /** From the configuration or the flag. */
    readonly listed: readonly Address[];
    readonly byFlag: boolean;
    readonly clock: Clock;
    readonly log: Log;
  }): Promise<AuthServers> {
    const servers = new AuthServers(parts);
    await servers.#read();
    return servers;
  }

  /** A connection to the first that answers. Throws the failure of the last. */
  async dial(signal: AbortSignal): Promise<AuthStream> {
    let failure: unknown = new Fault("bad_parameter", "no auth server is given to connect to");
    for (const address of this.#inOrder()) {
      try {
        const stream = await this.#dial(address, signal);
        this.#failed.delete(formatAddress(address));
        return stream;
      } catch (err) {
        if (signal.aborted) throw err;
        this.#failed.set(formatAddress(address), this.#clock.uptime());
        failure = err;
      }
    }
    throw failure;
  }

  /** Keeps the file what the cluster says. */
  follow(client: Pick<Client<AuthContract>, "auth_servers.list">): Service {
    return {
      name: "auth servers",
      run: async (signal, ready) => {
        ready();
        while (!signal.aborted) {
          try {
            const list = await client["auth_servers.list"]({}, signal);
            await this.#learn(list.map(({ spec }) => parseAddress(spec.addr, 3025)));
          } catch (err) {
            if (!signal.aborted)
              this.#log.debug("the list of auth servers was not refreshed", {
                error: (err as Error).message,
              });
          }
          await this.#clock.sleep(refreshEvery, signal, { background: true }).catch(() => {});
        }
      },
    };
  }

  #inOrder(): readonly Address[] {
    const all = this.#byFlag ? this.#listed : [...this.#known, ...this.#listed];
    const distinct = [...new Map(all.map((address) => [formatAddress(address), address])).values()];
    const rests = (address: Address): boolean => {
      const since =
        this.#clock.uptime() - (this.#failed.get(formatAddress(address)) ?? Number.NEGATIVE_INFINITY);
      return since >= 0 && since < restFor;
    };
    return [...distinct.filter((address) => !rests(address)), ...distinct.filter(rests)];
  }

  async #dial(address: Address, signal: AbortSignal): Promise<AuthStream> {
    const over = new AbortController();
    const late = new AbortController();
    void this.#clock
      .sleep(dialPatience, over.signal, { background: true })
      .then(() =>
        late.abort(
          new Fault("unreachable", `cannot connect to ${formatAddress(address)}: it does not answer`),
        ),
      )
      .catch(() => {});
    try {
      return await dial(address, AbortSignal.any([signal, late.signal]));
    } finally {
      over.abort();
    }
  }

  async #read(): Promise<void> {
    try {
      const list: unknown = JSON.parse(await readFile(this.#path, "utf8"));
      if (!Array.isArray(list)) throw new Error("it holds no list");
      this.#known = list.map((text) => parseAddress(String(text), 3025));
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === "ENOENT") return;
      this.#log.warn("the list of auth servers is passed over", {
        file: this.#path,
        error: (err as Error).message,
      });
    }
  }

  async #learn(known: readonly Address[]): Promise<void> {
    const texts = (list: readonly Address[]): string => JSON.stringify(list.map(formatAddress).sort());
    // One that we talk to may not have announced itself yet.
    if (known.length === 0 || texts(known) === texts(this.#known)) return;
    await writeWhole(this.#path, `${texts(known)}\n`);
    this.#known = known.toSorted((a, b) => (formatAddress(a) < formatAddress(b) ? -1 : 1));
    this.#log.info("the cluster's auth servers are", { addresses: texts(known) });
  }
}
