/** Who asks, on what machine. */
export interface Caller {
  /** Numeric user id; 0 is root. */
  readonly uid: number;
  /** Absolute. */
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Where a program looks when nobody tells it where to. */
export interface Places {
  /** Configuration files; the first that is there is read. */
  readonly configFiles: readonly string[];
  readonly dataDir: string;
  /** Where a sample configuration has the process id written. */
  readonly pidFile: string;
}

/**
 * The places of the admin guide for root; an ordinary user has both under its own state folder, so that the three
 * tools find each other without flags (XDG Base Directory Specification).
 */
export function defaultPlaces({ uid, home, env }: Caller): Places {
  if (uid === 0) {
    const dataDir = "/var/lib/teleport";
    return { configFiles: ["/etc/teleport.yaml"], dataDir, pidFile: "/var/run/teleport.pid" };
  }
  const state = env.XDG_STATE_HOME?.startsWith("/") ? env.XDG_STATE_HOME : `${home}/.local/state`;
  const dataDir = `${state}/teleport`;
  return { configFiles: [`${dataDir}/teleport.yaml`], dataDir, pidFile: `${dataDir}/teleport.pid` };
}
