import { Fault } from "#core/errors";
import type { Path } from "./check.ts";
import type { Tree } from "./yaml.ts";

type Maps = Record<string, unknown>;
const isMap = (value: unknown): value is Maps =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const services = ["auth_service", "ssh_service", "proxy_service"];

/** Keys of older files that have no meaning any more, anywhere, or not at a section's own level (CFG-61), and what to say about some of them. */
const ignored: Readonly<Record<string, string>> = {
  domain_name: "use cluster_name",
  addresses: "",
  checking_keys: "",
  checking_key_files: "",
  signing_keys: "",
  signing_key_files: "",
  allowed_logins: "",
  ssh_listen_addr: "",
  ca_cert_file: "",
  rates: "",
};
/** What the auth service takes. */
const ofAuth = { authorities: "set it under auth_service", reverse_tunnels: "set it under auth_service" };
/** The same in one section: key → advice. */
const ignoredIn: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  teleport: { seed_config: "", ...ofAuth },
  auth_service: {
    kubeconfig_file: "set it under proxy_service.kubernetes",
    oidc_connectors: "create an oidc resource with tctl",
    u2f: "set authentication.u2f",
  },
  ssh_service: { namespace: "", ...ofAuth },
  proxy_service: ofAuth,
};

/**
 * The tree as today's schema knows it: services nested under `teleport` moved out (CFG-29), keys of older versions taken
 * out, each with a warning. `at` maps a path of the result to its path in the tree.
 */
export function modernize(
  tree: Tree,
  name: string,
): { value: unknown; at: (path: Path) => Path; warnings: string[] } {
  const warnings: string[] = [];
  const at = (path: Path): Path =>
    moved.has(String(path[0])) && !isOwn(path) ? ["teleport", ...path] : path;
  const moved = new Set<string>();
  const warn = (path: Path, what: string): void => {
    const { line } = tree.placeOf(at(path.slice(0, -1)), String(path.at(-1)));
    warnings.push(`${name}:${line}: ${path.join(".")}: ${what}`);
  };
  if (!isMap(tree.value)) return { value: tree.value, at, warnings };
  const top: Maps = { ...tree.value };
  const isOwn = (path: Path): boolean => {
    const section = (tree.value as Maps)[String(path[0])];
    return isMap(section) && path.length > 1 && Object.hasOwn(section, path[1] as PropertyKey);
  };

  if (isMap(top.teleport)) {
    const teleport: Maps = { ...top.teleport };
    for (const service of services) {
      const nested = teleport[service];
      if (!Object.hasOwn(teleport, service)) continue;
      warn(["teleport", service], `${service} belongs at the left margin; it is read as if it stood there`);
      delete teleport[service];
      if (!isMap(nested)) continue;
      moved.add(service);
      top[service] = { ...nested, ...(isMap(top[service]) ? top[service] : {}) };
    }
    top.teleport = teleport;
  }

  for (const section of ["teleport", ...services]) {
    const given = top[section];
    if (!isMap(given)) continue;
    const kept: Maps = {};
    for (const [key, value] of Object.entries(given)) {
      const advice = Object.hasOwn(ignoredIn[section] ?? {}, key)
        ? ignoredIn[section]?.[key]
        : Object.hasOwn(ignored, key)
          ? ignored[key]
          : undefined;
      if (section === "auth_service" && key === "dynamic_config") {
        const { line, column } = tree.placeOf(at([section]), key);
        throw new Fault(
          "bad_parameter",
          `${name}:${line}:${column}: auth_service.dynamic_config is no longer possible; take it out`,
        );
      }
      if (advice === undefined) kept[key] = value;
      else warn([section, key], `is ignored${advice ? `; ${advice}` : ""}`);
    }
    top[section] = kept;
  }

  const auth = top.auth_service;
  if (isMap(auth) && Array.isArray(auth.trusted_clusters)) {
    const isOld = (entry: unknown): boolean =>
      isMap(entry) && (Object.hasOwn(entry, "key_file") || Object.hasOwn(entry, "allow_logins"));
    if (auth.trusted_clusters.some(isOld)) {
      warn(
        ["auth_service", "trusted_clusters"],
        "entries with key_file are ignored; write them with name, token and web_proxy_addr",
      );
      auth.trusted_clusters = auth.trusted_clusters.filter((entry) => !isOld(entry));
    }
  }
  return { value: top, at, warnings };
}
