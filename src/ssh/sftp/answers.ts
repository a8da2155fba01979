import { Fault } from "#core/errors";
import type { Path } from "./files.ts";
import { NameAnswer, type Status, StatusAnswer, status } from "./messages.ts";

/** Names of the system (errno(3)) to what version 3 can say, as OpenSSH does it. */
const codes: Readonly<Record<string, Status>> = {
  ENOENT: status.noSuchFile,
  ENOTDIR: status.noSuchFile,
  EBADF: status.noSuchFile,
  ELOOP: status.noSuchFile,
  EPERM: status.permissionDenied,
  EACCES: status.permissionDenied,
  EROFS: status.permissionDenied,
  ENAMETOOLONG: status.badMessage,
  EINVAL: status.badMessage,
  // Node's, for a name with a NUL in it.
  ERR_INVALID_ARG_VALUE: status.badMessage,
  ENOSYS: status.unsupported,
  EOPNOTSUPP: status.unsupported,
  ENOTSUP: status.unsupported,
};

export const statusAnswer = (id: number, code: Status, message: string): Uint8Array =>
  StatusAnswer.encode({ id, code, message, language: "" });

export const done = (id: number): Uint8Array => statusAnswer(id, status.ok, "");

export const oneName = (id: number, path: Path): Uint8Array =>
  NameAnswer.encode({ id, names: [{ filename: path, longname: path, attributes: {} }] });

/** Tells why a request failed. */
export function failure(id: number, err: unknown): Uint8Array {
  if (!(err instanceof Error)) return statusAnswer(id, status.failure, String(err));
  if (Fault.is(err, "protocol")) return statusAnswer(id, status.badMessage, err.message);
  const code = "code" in err && typeof err.code === "string" ? err.code : "";
  return statusAnswer(id, codes[code] ?? status.failure, err.message);
}
