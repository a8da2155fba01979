import { type Copied, sources, Target } from "#copy";
import { Fault } from "#core/errors";
import type { Connection } from "#ssh";
import { receive, type ScpLink, type SinkFolder, type SourceEntry, send } from "#ssh/scp";
import { openSession, type Session } from "#ssh/session";
import { checkLogin, isHost } from "./address.ts";

/** One side of a copy, as it is written on the command line. */
export type Place =
  | { readonly kind: "local"; readonly path: string }
  | {
      readonly kind: "remote";
      readonly login: string | undefined;
      readonly host: string;
      readonly path: string;
    };

/** Reads `[login@]host:path`; what has no colon, or a slash before it, is a local path. Throws `bad_parameter`. */
export function parsePlace(text: string): Place {
  const match = /^(?:([^/]*)@)?(\[[^\]/]+\]|[^:/]*):(.*)$/s.exec(text);
  if (!match) return { kind: "local", path: text };
  const [, login, where = "", path = ""] = match;
  const host = where.replace(/^\[(.*)\]$/, "$1");
  if (!isHost(host)) {
    throw new Fault("bad_parameter", `${JSON.stringify(text)} is not a place; write it as [login@]host:path`);
  }
  return { kind: "remote", login: login === undefined ? undefined : checkLogin(login), host, path };
}

export interface CopyOptions {
  readonly recursive: boolean;
  /** Keep times and modes. */
  readonly preserve: boolean;
  /** Told of each file, when it is done. */
  readonly report: (copied: Copied) => void;
  /** Told how far a file is, often. The name is the one at the other end, untrusted text. */
  readonly progress?: (file: Progress) => void;
  /** Error output of the remote side, untrusted text. */
  readonly onError: (text: string) => void;
}

export interface Progress {
  readonly name: string;
  /** Bytes. */
  readonly done: number;
  readonly size: number;
}

/** How a copy ended: sentences about what could not be copied, and the exit code. */
export interface CopyResult {
  readonly troubles: readonly string[];
  readonly code: number;
}

/** Sends local files and folders to a path of a host. */
export async function upload(
  connection: Connection,
  paths: readonly string[],
  target: string,
  options: CopyOptions & { readonly mustBeFolder: boolean },
): Promise<CopyResult> {
  const flags = `-t${options.mustBeFolder ? "d" : ""}`;
  const { recursive, preserve, report } = options;
  const from = sources(
    paths.map((path) => Buffer.from(path)),
    { recursive, preserve, report },
  );
  return converse(connection, flags, target, options, (link) => send(link, watchedSources(from, options)));
}

/** Gets what a remote path names, which may have wildcards, into a local file or folder. */
export async function download(
  connection: Connection,
  path: string,
  target: string,
  options: CopyOptions & { readonly mustBeFolder: boolean },
): Promise<CopyResult> {
  const { recursive, preserve, report, mustBeFolder } = options;
  const into = await openTarget(target, { mustBeFolder, preserve, report });
  const asked = only(expectedNames(path), watchedFolder(into, options));
  return converse(connection, "-f", path, options, (link) => receive(link, asked, { recursive }));
}

/** The same entries, of which each byte that is read is told. */
async function* watchedSources(
  entries: AsyncIterable<SourceEntry>,
  options: CopyOptions,
): AsyncGenerator<SourceEntry> {
  const { progress } = options;
  for await (const entry of entries) {
    if (!progress || entry.kind === "trouble") yield entry;
    else if (entry.kind === "directory")
      yield { ...entry, entries: () => watchedSources(entry.entries(), options) };
    else yield { ...entry, read: () => watched(entry, progress) };
  }
}

async function* watched(
  { name, size, read }: Extract<SourceEntry, { kind: "file" }>,
  progress: (file: Progress) => void,
): AsyncGenerator<Uint8Array> {
  const text = Buffer.from(name).toString();
  let done = 0;
  for await (const chunk of read()) {
    progress({ name: text, done, size });
    done += chunk.length;
    yield chunk;
  }
}

/** The same folder, of which each byte that is written is told. */
function watchedFolder(folder: SinkFolder, options: CopyOptions): SinkFolder {
  const { progress } = options;
  if (!progress) return folder;
  return {
    async file(name, mode, size, times) {
      const file = await folder.file(name, mode, size, times);
      const text = Buffer.from(name).toString();
      let done = 0;
      return {
        async write(chunk) {
          await file.write(chunk);
          done += chunk.length;
          progress({ name: text, done, size });
        },
        close: (reason) => file.close(reason),
      };
    },
    directory: async (name, mode, times) => watchedFolder(await folder.directory(name, mode, times), options),
    done: () => folder.done(),
  };
}

async function openTarget(path: string, options: Parameters<typeof Target.open>[1]): Promise<Target> {
  try {
    return await Target.open(Buffer.from(path), options);
  } catch (cause) {
    throw new Fault("bad_parameter", (cause as Error).message, { cause });
  }
}

async function converse(
  connection: Connection,
  flags: string,
  path: string,
  { recursive, preserve, onError }: CopyOptions,
  talk: (link: ScpLink) => Promise<string[]>,
): Promise<CopyResult> {
  const session = await openSession(connection);
  const all = `${flags}${recursive ? "r" : ""}${preserve ? "p" : ""}`;
  const errors = tell(session, onError);
  if (!(await session.exec(`scp ${all} -- ${quoted(path)}`))) {
    await session.channel.close();
    await errors;
    throw new Fault("access_denied", "the host does not let scp run");
  }
  const { channel } = session;
  try {
    const troubles = await talk({
      input: { [Symbol.asyncIterator]: () => channel[Symbol.asyncIterator]() },
      write: (bytes) => channel.write(bytes),
    });
    await channel.end();
    const exit = await session.exit;
    await errors;
    const code = exit && "code" in exit ? exit.code : 1;
    return { troubles, code: code === 0 && troubles.length > 0 ? 1 : code };
  } finally {
    await channel.close({ discard: true });
    await errors;
  }
}

async function tell(session: Session, onError: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  try {
    for await (const part of session.channel.stderr) onError(decoder.decode(part, { stream: true }));
  } catch {
    // The connection broke; the copy says so.
  }
}

/**
 * A remote path for the shell there, which is to see a path and nothing else (S56). Wildcards stay, so that
 * `host:logs/*.gz` names many files, and `~/` means the home, where the shell is anyway.
 */
export function quoted(path: string): string {
  const inHome = path === "" || path === "~" ? "." : path.replace(/^~\/+/, "./");
  if (/[\0\r\n]/.test(inHome)) {
    throw new Fault("bad_parameter", `${JSON.stringify(path)} cannot be sent as a path`);
  }
  return inHome.replaceAll(
    /[^A-Za-z0-9_./*?[\]\u0080-\u{10ffff}-]+/gu,
    (some) => `'${some.replaceAll("'", "'\\''")}'`,
  );
}

/** Which names the remote side may send for a path, and whether more than one. */
interface Expected {
  readonly fits: (name: string) => boolean;
  readonly many: boolean;
  readonly path: string;
}

function expectedNames(path: string): Expected {
  const last = /([^/]*)\/*$/.exec(path)?.[1] ?? "";
  // Of a folder that has no name here the host tells the name; a hidden one would be too good a place to be true.
  if (["", ".", "..", "~"].includes(last))
    return { path, many: false, fits: (name) => !name.startsWith(".") };
  if (!/[*?[]/.test(last)) {
    const bytes = Buffer.from(last).toString("latin1");
    return { path, many: false, fits: (name) => name === bytes };
  }
  const pattern = wildcard(last);
  const hidden = last.startsWith(".");
  return { path, many: true, fits: (name) => pattern.test(name) && (hidden || !name.startsWith(".")) };
}

/** A shell pattern over names in latin1. */
function wildcard(pattern: string): RegExp {
  const source = Buffer.from(pattern)
    .toString("latin1")
    .replaceAll(/\[([!^]?)(\]?[^\]]*)\]|[\s\S]/g, (char, not: string, set: string | undefined) => {
      if (char === "*") return "[^]*";
      if (char === "?") return "[^]";
      if (set === undefined) return char.replace(/[\\^$.*+?()[\]{}|/-]/, "\\$&");
      return `[${not === "" ? "" : "^"}${set.replaceAll(/[\\\]^[]/g, "\\$&")}]`;
    });
  return new RegExp(`^${source}$`);
}

/**
 * Lets through what was asked for and nothing else: a host that sends other names would overwrite what the user did not
 * point at (CVE-2019-6111). Bits that make a program run as somebody else are dropped.
 */
function only(expected: Expected, target: SinkFolder): SinkFolder {
  let seen = 0;
  const check = (bytes: Uint8Array): void => {
    const name = Buffer.from(bytes).toString("latin1");
    if (expected.fits(name) && (expected.many || seen++ === 0)) return;
    throw new Error(
      `refused ${JSON.stringify(Buffer.from(bytes).toString())}: ${expected.path} was asked for`,
    );
  };
  return {
    async file(name, mode, size, times) {
      check(name);
      return target.file(name, mode & 0o777, size, times);
    },
    async directory(name, mode, times) {
      check(name);
      return plainModes(await target.directory(name, mode & 0o777, times));
    },
    done: () => target.done(),
  };
}

const plainModes = (folder: SinkFolder): SinkFolder => ({
  file: (name, mode, size, times) => folder.file(name, mode & 0o777, size, times),
  directory: async (name, mode, times) => plainModes(await folder.directory(name, mode & 0o777, times)),
  done: () => folder.done(),
});
