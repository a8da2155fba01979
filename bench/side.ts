/** One of the things compared: a client's way to a shell behind a jump host or a proxy. */
export interface Side {
  readonly name: string;
  readonly client: "ssh" | "tsh";
  /** Roots of the process trees that carry the traffic on the servers' side. */
  readonly servers: readonly number[];
  /** The port of 127.0.0.1 that the client connects to. */
  readonly door: number;
  /** The client's command line as far as the host; the command to run there comes behind it. */
  readonly command: (change?: Change) => Command;
}

/** What is not as usual about a way: it holds for every hop. */
export interface Change {
  /** Stock `ssh` only. */
  readonly cipher?: string;
  /** A port of 127.0.0.1 to connect to in place of the side's door. */
  readonly door?: number;
}

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** Added to the environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Those whose client is stock `ssh`. */
export const stock = (sides: readonly Side[]): Side[] => sides.filter(({ client }) => client === "ssh");

/** The first lines of a configuration of `ssh`, which win: a change for the host that the client connects to. */
export function changed(first: string, { cipher, door }: Change): string[] {
  return [
    ...(door === undefined ? [] : [`Host ${first}`, `Port ${door}`]),
    ...(cipher === undefined ? [] : ["Host *", `Ciphers ${cipher}`]),
  ];
}

/** The end of a configuration of `ssh`: what holds for every host and every side. */
export function everyHost(login: string): string[] {
  return [
    "Host *",
    `User ${login}`,
    "ControlMaster no",
    "LogLevel ERROR",
    // What both have. Left to themselves two OpenSSH 9 take sntrup761, whose keys cost more than all the rest of a login.
    "KexAlgorithms curve25519-sha256",
    // Newer clients hide when keys are pressed, which would be measured instead.
    "IgnoreUnknown ObscureKeystrokeTiming",
    "ObscureKeystrokeTiming no",
  ];
}
