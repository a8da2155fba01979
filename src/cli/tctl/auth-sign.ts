import type { AuthClient } from "#authclient";
import { hour, type Millis } from "#core/clock";
import { Fault } from "#core/errors";
import { type Command, flag, type Parsed } from "../command.ts";
import type { Io } from "../io.ts";
import { clearOutputs, type Output, writeOutputs } from "../output-files.ts";
import { printable } from "../text.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { command } from "./globals.ts";

/** Loaded when they are used, as all that is no command line. */
const signing = async () => (await import("#client")).signing();
const identityFile = async () => (await import("#client")).identityFile();

const keyType = flag.choice("Kind of the new key (ed25519, or rsa where the cluster's own are)", [
  "ed25519",
  "ecdsa",
  "rsa",
]);
const overwrite = flag.yes("Replace files that are there already");

const signFlags = {
  user: flag.text("The account to sign for", { value: "NAME" }),
  host: flag.list("The names of the host to sign for, as users will type them", { value: "A,B" }),
  out: flag.text("Where to write; for a host its first name", { short: "o", value: "FILE" }),
  format: flag.choice(
    "file: all in one file, for tsh -i; openssh: FILE and FILE-cert.pub, the way for hosts; tls: FILE.key, FILE.crt, FILE.cas",
    ["file", "openssh", "tls", "kubernetes"],
    { value: "file|openssh|tls" },
  ),
  ttl: flag.duration("How long the certificate is good: 12h for a user, for a host without end"),
  compat: flag.choice("Form of the certificate", ["standard", "oldssh"]),
  keyType,
  overwrite,
};
type SignFlags = Parsed<typeof signFlags>;

interface Given {
  readonly flags: SignFlags;
  readonly io: Io;
  readonly signal: AbortSignal;
}

export const signingCommands = (connect: ConnectAdmin): readonly Command[] => [
  command({
    name: "sign",
    about:
      "Make keys and certificates for a program to use an account by, or for a host that runs OpenSSH's sshd",
    flags: signFlags,
    run: async (given) => {
      const job = given.flags.host ? hostJob(given.flags) : userJob(given.flags);
      await clearOutputs(given, job.paths, given.flags.overwrite ?? false);
      return withAdmin(connect, given, async (auth) => {
        await writeOutputs(await job.work(auth, given));
        given.io.out(`The certificate has been written to ${job.paths.map(printable).join(", ")}`);
      });
    },
  }),
  command({
    name: "gen",
    about: "Make a key pair that nobody certified",
    hidden: true,
    flags: {
      pubKey: flag.text("Where to write the public key", { value: "FILE" }),
      privKey: flag.text("Where to write the private key", { value: "FILE" }),
      keyType,
      overwrite,
    },
    run: async (given) => {
      const { pubKey, privKey, keyType: type = "ed25519", overwrite: replace = false } = given.flags;
      if (pubKey === undefined || privKey === undefined)
        throw new Fault("bad_parameter", "say where to write the two keys with --pub-key and --priv-key");
      await clearOutputs(given, [privKey, pubKey], replace);
      const { key, publicKey } = await (await signing()).makeKeyPair(type);
      await writeOutputs([
        { path: privKey, text: key },
        { path: pubKey, text: publicKey },
      ]);
      given.io.out(`The key pair has been written to ${printable(privKey)}, ${printable(pubKey)}`);
      return 0;
    },
  }),
];

/** What a command line asks for: where it writes, and how what is written is made. */
interface Job {
  readonly paths: readonly string[];
  work(auth: AuthClient, given: Given): Promise<readonly Output[]>;
}

const pairOf = (out: string): [string, string] => [out, `${out}-cert.pub`];

/** Throws `bad_parameter` for flags that do not fit together. */
function hostJob({ host: names = [], user, format = "openssh", out, ttl, compat }: SignFlags): Job {
  if (user !== undefined) throw whom();
  if (format !== "openssh") {
    throw new Fault(
      "bad_parameter",
      `--format: ${JSON.stringify(format)} is for users; hosts get --format=openssh`,
    );
  }
  if (compat !== undefined) throw new Fault("bad_parameter", "--compat is for certificates of users");
  const [first] = names;
  if (first === undefined) throw new Fault("bad_parameter", "--host: no name is given");
  // The auth server checks the names too; here one of them becomes a path.
  if (out === undefined && !/^[A-Za-z0-9_][A-Za-z0-9_.:-]*$/.test(first)) {
    throw new Fault("bad_parameter", `--host: ${JSON.stringify(first)} is not a host's name`);
  }
  const [keyPath, certPath] = pairOf(out ?? first);
  return {
    paths: [keyPath, certPath],
    async work(auth, { io, flags, signal }) {
      const capitals = names.filter((name) => name !== name.toLowerCase());
      if (capitals.length > 0) {
        io.err(
          `note: OpenSSH looks for names in small letters, and will not find ${capitals.map(printable).join(",")}`,
        );
      }
      const type = flags.keyType ?? (await usualKeyType(auth, "host", signal));
      const made = await (await signing()).signHost(
        auth,
        { names, ttl: ttl && wholeSeconds(ttl), keyType: type },
        signal,
      );
      return [
        { path: certPath, text: made.certificate },
        { path: keyPath, text: made.key },
      ];
    },
  };
}

/** Throws `bad_parameter` for flags that do not fit together. */
function userJob({ user, format = "file", out, ttl = 12 * hour, compat }: SignFlags): Job {
  if (user === undefined) throw whom();
  if (format === "kubernetes") {
    throw new Fault(
      "bad_parameter",
      "--format: kubernetes comes with access to Kubernetes, which is not there yet; choose file, openssh or tls",
    );
  }
  if (out === undefined) throw new Fault("bad_parameter", "say where to write the identity with --out");
  const sign = async (auth: AuthClient, { flags, signal }: Given, keys: "ssh" | "tls" | "both") =>
    (await signing()).signUser(
      auth,
      {
        user,
        ttl: wholeSeconds(ttl),
        keys,
        compatibility: compat ?? "",
        keyType: flags.keyType ?? (await usualKeyType(auth, "user", signal)),
      },
      signal,
    );
  switch (format) {
    case "file":
      return {
        paths: [out],
        async work(auth, given) {
          const { formatIdentity } = await identityFile();
          return [{ path: out, text: formatIdentity(await sign(auth, given, "both")) }];
        },
      };
    case "openssh": {
      const [keyPath, certPath] = pairOf(out);
      return {
        paths: [keyPath, certPath],
        async work(auth, given) {
          const { formatPair } = await identityFile();
          const { key, certificate } = formatPair(await sign(auth, given, "ssh"));
          return [
            { path: certPath, text: certificate },
            { path: keyPath, text: key },
          ];
        },
      };
    }
    case "tls":
      return {
        paths: [`${out}.key`, `${out}.crt`, `${out}.cas`],
        async work(auth, given) {
          const { tls, tlsAuthorities } = await sign(auth, given, "tls");
          return [
            { path: `${out}.cas`, text: tlsAuthorities.join("") },
            { path: `${out}.crt`, text: tls?.cert ?? "" },
            { path: `${out}.key`, text: tls?.key ?? "" },
          ];
        },
      };
  }
}

const whom = (): Fault =>
  new Fault("bad_parameter", "say whom to sign for: an account with --user, or a host with --host");

const wholeSeconds = (span: Millis): Millis => Math.max(1000, Math.round(span / 1000) * 1000);

/** A cluster whose authorities are RSA is one where something needs that (`key_type: rsa`). */
async function usualKeyType(
  auth: AuthClient,
  type: "user" | "host",
  signal: AbortSignal,
): Promise<"rsa" | "ed25519"> {
  const { cluster_name, cas } = await auth["cluster.status"]({}, signal);
  const own = cas.find(({ spec }) => spec.type === type && spec.cluster_name === cluster_name);
  return own?.spec.checking_keys[0]?.startsWith("ssh-rsa ") ? "rsa" : "ed25519";
}
