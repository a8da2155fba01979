import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { AuthContract } from "#contract/auth";
import type { Client } from "#contract/rpc";

type Uploading = Pick<Client<AuthContract>, "recordings.offset" | "recordings.upload" | "recordings.finish">;
type Files = { readonly bytes: string; readonly log: string };

/**
 * Brings a recording's two files, given by path, to the cluster's store: from where an earlier try ended, then makes it
 * final. Answers with the digests (hex SHA-256) that the store has checked.
 */
export async function uploadRecording(
  client: Uploading,
  sid: string,
  files: Files,
  signal: AbortSignal,
): Promise<Files> {
  const sha256 = { bytes: await digest(files.bytes), log: await digest(files.log) };
  for (const file of ["bytes", "log"] as const) {
    const { offset } = await client["recordings.offset"]({ sid, file }, signal);
    await client["recordings.upload"](
      { sid, file, offset },
      createReadStream(files[file], { start: offset }) as AsyncIterable<Uint8Array>,
      signal,
    );
  }
  await client["recordings.finish"]({ sid, sha256 }, signal);
  return sha256;
}

async function digest(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
