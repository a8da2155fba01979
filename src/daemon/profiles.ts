import type { IncomingMessage, ServerResponse } from "node:http";
import { type HeapProfiler, type Profiler, Session } from "node:inspector/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { type Clock, second } from "#core/clock";
import { pprofOfCpu, pprofOfHeap } from "./pprof.ts";

const longest = 300; // seconds
const usual = 30;
/** V8's own distance between two samples of the heap, on average: it costs next to nothing. */
const heapInterval = 512 * 1024; // bytes

/** Profiles of this process, for who started it with `-d`: V8's, in pprof's form or its own. */
export class Profiles implements Disposable {
  readonly #clock: Clock;
  readonly #session = new Session();
  #busy = false;

  /** From here on V8 remembers where what is alive was allocated. */
  static async start(clock: Clock): Promise<Profiles> {
    const profiles = new Profiles(clock);
    profiles.#session.connect();
    await profiles.#session.post("Profiler.enable");
    await profiles.#session.post("HeapProfiler.enable");
    await profiles.#session.post("HeapProfiler.startSampling", { samplingInterval: heapInterval });
    return profiles;
  }

  private constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Answers what lies under `/debug/pprof/` (CFG-153); false for a path that does not. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://diagnostics");
    const form = searchParams.get("format") === "v8" ? "v8" : "pprof";
    if (pathname === "/debug/pprof/" || pathname === "/debug/pprof") {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(index);
    } else if (pathname === "/debug/pprof/profile") {
      await this.#cpu(searchParams.get("seconds"), form, response);
    } else if (pathname === "/debug/pprof/heap") {
      const { profile } = await this.#session.post("HeapProfiler.getSamplingProfile");
      await this.#send(response, "heap", form, profile, pprofOfHeap);
    } else return false;
    return true;
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }

  async #cpu(asked: string | null, form: "v8" | "pprof", response: ServerResponse): Promise<void> {
    const seconds = asked === null ? usual : Number(asked);
    if (!(seconds > 0 && seconds <= longest))
      return refuse(response, 400, `seconds is a number up to ${longest}`);
    if (this.#busy) return refuse(response, 409, "a CPU profile is being taken; try again when it is done");
    this.#busy = true;
    try {
      await this.#session.post("Profiler.start");
      const gone = new AbortController();
      response.once("close", () => gone.abort());
      await this.#clock.sleep(seconds * second, gone.signal, { background: true }).catch(() => {});
      const { profile } = await this.#session.post("Profiler.stop");
      await this.#send(response, "profile", form, profile, pprofOfCpu);
    } finally {
      this.#busy = false;
    }
  }

  async #send<P extends Profiler.Profile | HeapProfiler.SamplingHeapProfile>(
    response: ServerResponse,
    name: "profile" | "heap",
    form: "v8" | "pprof",
    profile: P,
    toPprof: (profile: P, takenAt: number) => Uint8Array,
  ): Promise<void> {
    const [file, body] =
      form === "v8"
        ? [`teleport.${name === "heap" ? "heapprofile" : "cpuprofile"}`, Buffer.from(JSON.stringify(profile))]
        : [`${name}.pb.gz`, await compressed(toPprof(profile, this.#clock.now()))];
    response
      .writeHead(200, {
        "content-type": form === "v8" ? "application/json" : "application/octet-stream",
        "content-disposition": `attachment; filename="${file}"`,
      })
      .end(body);
  }
}

const compressed = promisify(gzip) as (bytes: Uint8Array) => Promise<Uint8Array>;

const refuse = (response: ServerResponse, status: number, why: string): void =>
  void response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(`${why}\n`);

const index = `<!doctype html>
<title>Profiles</title>
<h1>Profiles of this process</h1>
<p>For <code>go tool pprof</code>; with <code>?format=v8</code> for a browser's developer tools.
<ul>
<li><a href="profile?seconds=10">profile</a>: where the CPU's time goes, for <code>?seconds=N</code> (${usual})
<li><a href="heap">heap</a>: where what is alive was allocated
</ul>
`;
