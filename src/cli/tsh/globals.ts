import { type Context, commandsWith, flag, type Parsed } from "../command.ts";

/** The flags that every `tsh` command takes, before and after its name (TSH-01..10). */
export const globals = {
  proxy: flag.text("The proxy: host[:https_port[,ssh_port]]", { value: "HOST", env: "TELEPORT_PROXY" }),
  user: flag.text("Teleport user; by default that of the profile, then your own name", {
    value: "NAME",
    env: "TELEPORT_USER",
  }),
  login: flag.text("Login on the remote host", { short: "l", value: "LOGIN", env: "TELEPORT_LOGIN" }),
  identity: flag.text("Act by this identity file in place of a login", { short: "i", value: "FILE" }),
  ttl: flag.text("Minutes for which a login is good (720)", { value: "MINUTES" }),
  certFormat: flag.choice("Form of the certificate", ["standard", "oldssh"]),
  compat: flag.choice("Form of the certificate", ["standard", "oldssh"], { hidden: true }),
  insecure: flag.yes("Do not verify the proxy's HTTPS certificate"),
  auth: flag.text("How to log in: the name of a connector, or local for a password", { value: "NAME" }),
  bindAddr: flag.text("Where to wait for a login in the browser: HOST:PORT of this machine", {
    value: "HOST:PORT",
    env: "TELEPORT_LOGIN_BIND_ADDR",
  }),
  skipVersionCheck: flag.yes("Go on although the proxy asks for another version"),
  debug: flag.yes("Tell what is being done, with stack traces of errors", { short: "d" }),
  nocache: flag.yes("Accepted, without effect", { hidden: true }),
  namespace: flag.text("Accepted, without effect", { hidden: true }),
  gops: flag.yes("Accepted, without effect", { hidden: true }),
  gopsAddr: flag.text("Accepted, without effect", { hidden: true }),
};

export const command = commandsWith(globals);

/** What every command gets. */
export type TshContext = Omit<Context<Record<never, never>>, "flags"> & {
  readonly flags: Parsed<typeof globals>;
};
