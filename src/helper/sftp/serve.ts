/** The file side of SFTP: runs in `login.ts`, as the login, in its home, on descriptors 0 to 2. */
import { readSync, writeSync } from "node:fs";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import { type SftpLink, serveSftp } from "#ssh/sftp";
import { DiskFiles } from "./files.ts";
import { type SftpReport, told } from "./told.ts";

/** Of the 1024 descriptors that this process may have, less those of Node. */
const maxHandles = 900;

/**
 * Serves until the client leaves. Resolves to the exit code: 0, or 1 for a client that did not speak SFTP. `report` is
 * called for everything that reads or changes a file.
 *
 * Input and output block: this process has nothing else to do, and it is the least work for each byte. That is also the
 * back pressure: nothing more is read before what was asked for has been taken.
 */
export async function serveFiles(home: string, report: (report: SftpReport) => void): Promise<number> {
  // The end of input is how this session ends: so that open files are closed and told.
  process.on("SIGHUP", () => {});
  const link: SftpLink = {
    read: (into) => readSync(0, into),
    write(bytes) {
      for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
    },
  };
  try {
    await serveSftp(link, told(new DiskFiles({ home, clock: systemClock }), report), { maxHandles });
    return 0;
  } catch (err) {
    if (Fault.is(err, "protocol")) writeSync(2, `sftp: ${err.message}\n`);
    else if (!(err instanceof Error && "code" in err && err.code === "EPIPE")) throw err;
    return 1;
  }
}
