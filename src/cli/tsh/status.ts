import { type Credentials, expiryOf, type Profile, proxyHost, rolesOf } from "#client";
import { systemClock } from "#core/clock";
import { formatDuration } from "#core/duration";
import { print } from "../format.ts";
import type { Io } from "../io.ts";
import { printable } from "../text.ts";
import type { FlagsOf } from "./commands.ts";
import type { TshContext } from "./globals.ts";
import { chosenProfile, type Home, openHome } from "./home.ts";
import { identityOf } from "./identity.ts";

/** What programs get of one profile. */
interface Status {
  readonly active: boolean;
  /** Empty for an identity file, which does not say where its proxy is. */
  readonly profile_url: string;
  readonly user: string;
  readonly cluster: string;
  readonly roles: readonly string[];
  readonly logins: readonly string[];
  /** RFC 3339. */
  readonly valid_until: string;
  readonly expired: boolean;
  readonly extensions: readonly string[];
  /** Where alone the certificate is good; absent: anywhere. */
  readonly source_addresses?: readonly string[];
}

/** `tsh status` (TSH-36). */
export async function status(context: TshContext & FlagsOf<"status">): Promise<number> {
  const { io, flags } = context;
  const home = openHome(io);
  if (flags.identity !== undefined) {
    const { credentials, cluster } = await identityOf(context, flags.identity);
    const only = statusOf({ webProxyAddr: "", cluster }, credentials, true);
    await print(io, flags.format, [only], () => block(only));
    return 0;
  }
  const active = await chosenProfile(context, home);
  const all: Status[] = [];
  for (const profile of await profilesToShow(active, home)) {
    const credentials = await home.keystore.load(proxyHost(profile), profile.user);
    if (credentials) all.push(statusOf(profile, credentials, profile === active));
  }
  await print(io, flags.format, all, () => (all.length === 0 ? ["Not logged in."] : all.flatMap(block)));
  return 0;
}

/** Prints how it stands with one login, as `tsh login` ends. */
export function showLogin(io: Io, profile: Profile, credentials: Credentials): void {
  for (const line of block(statusOf(profile, credentials, true))) io.out(line);
}

/** The active one first. */
async function profilesToShow(active: Profile | undefined, { profiles }: Home): Promise<Profile[]> {
  const others = (await profiles.all()).filter(
    (profile) => active === undefined || profile.webProxyAddr !== active.webProxyAddr,
  );
  return active ? [active, ...others] : others;
}

function statusOf(
  profile: Pick<Profile, "webProxyAddr" | "cluster">,
  credentials: Credentials,
  active: boolean,
): Status {
  const { certificate } = credentials.certificate ?? {};
  const until = expiryOf(credentials);
  const sources = certificate?.criticalOptions.get("source-address");
  return {
    active,
    profile_url: profile.webProxyAddr && `https://${profile.webProxyAddr}`,
    user: credentials.user,
    cluster: profile.cluster,
    roles: rolesOf(credentials),
    logins: certificate?.principals ?? [],
    valid_until: new Date(Math.min(until, 8.64e15)).toISOString(),
    expired: until <= systemClock.now(),
    extensions: [...(certificate?.extensions.keys() ?? [])]
      .filter((name) => name.startsWith("permit-"))
      .sort(),
    ...(sources !== undefined && { source_addresses: sources.split(",") }),
  };
}

function block(status: Status): string[] {
  const left = Math.round((Date.parse(status.valid_until) - systemClock.now()) / 1000) * 1000;
  const validity = status.expired ? "[EXPIRED]" : `[valid for ${formatDuration(left)}]`;
  const logins = status.logins.length === 0 ? "none: you may log in nowhere" : status.logins.join(", ");
  const rows: [string, string][] = [
    ...(status.profile_url ? [["Profile URL:", status.profile_url] as [string, string]] : []),
    ["Logged in as:", status.user],
    ["Cluster:", status.cluster],
    ["Roles:", status.roles.join(", ")],
    ["Logins:", logins],
    ["Valid until:", `${status.valid_until.replace(/\.\d+Z$/, "Z")} ${validity}`],
    ["Extensions:", status.extensions.join(", ")],
    ...(status.source_addresses
      ? [["Good from:", status.source_addresses.join(", ")] as [string, string]]
      : []),
  ];
  return [
    ...rows.map(([name, value], i) =>
      `${status.active && i === 0 ? "> " : "  "}${name.padEnd(14)}${printable(value)}`.trimEnd(),
    ),
    "",
  ];
}
