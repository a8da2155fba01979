/** One of the things compared: a way of stock `ssh` to a shell behind a jump host or a proxy. */
export interface Side {
  readonly name: string;
  /** What `ssh` is given before the command: options and the host. */
  readonly ssh: readonly string[];
  /** Roots of the process trees that carry the traffic on the servers' side. */
  readonly servers: readonly number[];
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
