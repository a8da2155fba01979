import { Fault } from "#core/errors";

/** Where events go, as `audit_events_uri` names it. */
export type Destination =
  | { readonly scheme: "file"; readonly folder: string }
  | { readonly scheme: "stdout" };

/** Reads one entry of `audit_events_uri`: `file:///folder`, an absolute path, or `stdout://`. Throws `bad_parameter`. */
export function parseDestination(uri: string): Destination {
  if (uri.startsWith("/")) return { scheme: "file", folder: uri };
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(uri)?.[1]?.toLowerCase();
  switch (scheme) {
    case "stdout":
      return { scheme: "stdout" };
    case "file":
      return { scheme: "file", folder: folderOf(uri) };
    case "etcd":
      throw new Fault(
        "bad_parameter",
        `audit_events_uri ${uri}: etcd keeps cluster state only; send audit events to a folder with file:///path`,
      );
    default:
      throw new Fault(
        "bad_parameter",
        `unsupported scheme for audit_events_uri: "${scheme ?? uri}", supported schemes are "file" and "stdout"`,
      );
  }
}

function folderOf(uri: string): string {
  const folder = URL.canParse(uri) ? new URL(uri) : undefined;
  if (folder?.host !== "" || folder.pathname === "/")
    throw new Fault(
      "bad_parameter",
      `audit_events_uri ${uri}: write the folder with three slashes, like file:///var/lib/teleport/log`,
    );
  return decodeURIComponent(folder.pathname);
}
