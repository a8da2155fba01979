import { identityFile } from "#client";
import { Fault, notFound } from "#core/errors";
import { clearOutputs, writeOutputs } from "../output-files.ts";
import { printable } from "../text.ts";
import type { FlagsOf } from "./commands.ts";
import type { TshContext } from "./globals.ts";
import { chosenProfile, currentLogin, type Home, openHome } from "./home.ts";
import { refuseIdentity } from "./identity.ts";
import { isClusterOf, logIn } from "./log-in.ts";
import { showLogin } from "./status.ts";

type LoginContext = TshContext & FlagsOf<"login">;

/** `tsh login` (TSH-30): logs in, or with a login that is still good switches the cluster and says how it stands. */
export async function login(context: LoginContext): Promise<number> {
  const { io, args, flags } = context;
  refuseIdentity(context);
  const [positional] = args;
  const home = openHome(io);
  if (flags.out !== undefined) return logInTo(context, home, flags.out);
  if (flags.format !== undefined || flags.overwrite !== undefined)
    throw new Fault("bad_parameter", "--format and --overwrite are for what --out writes");
  const current = await currentLogin(context, home);
  // Who names another way to log in than that of this login wants to be somebody else.
  const isOther = context.flags.auth !== undefined && context.flags.auth !== current?.profile.authType;
  if (!current || isOther) {
    const made = await logIn(context, home, await chosenProfile(context, home), positional);
    showLogin(io, made.profile, made.credentials);
    return 0;
  }
  const { profile, credentials } = current;
  // One's own name in the place of a cluster means the main one (TSH-34).
  const wanted = positional === profile.user ? profile.rootCluster : (positional ?? profile.cluster);
  if (positional !== undefined && !(await isClusterOf(context, profile, wanted))) {
    throw notFound("cluster", wanted);
  }
  const chosen = { ...profile, cluster: wanted };
  await home.profiles.write(chosen);
  showLogin(io, chosen, credentials);
  return 0;
}

/** A login that goes to a file, and leaves profile, keys and agent as they are (TSH-35). */
async function logInTo(context: LoginContext, home: Home, out: string): Promise<number> {
  const { io, args, flags } = context;
  const isPair = flags.format === "openssh";
  const paths = isPair ? [out, `${out}-cert.pub`] : [out];
  await clearOutputs(context, paths, flags.overwrite ?? false);
  const { credentials } = await logIn(context, home, await chosenProfile(context, home), args[0], false);
  const { formatIdentity, formatPair } = await identityFile();
  if (isPair) {
    const { key, certificate } = formatPair(credentials);
    await writeOutputs([
      { path: `${out}-cert.pub`, text: certificate },
      { path: out, text: key },
    ]);
  } else {
    await writeOutputs([{ path: out, text: formatIdentity(credentials) }]);
  }
  io.out(`The certificate has been written to ${paths.map(printable).join(", ")}`);
  return 0;
}
