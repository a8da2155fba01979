import type { AuthClient } from "#authclient";
import type * as door from "#daemon";
import type { Flags, Parsed } from "../command.ts";
import type { Io } from "../io.ts";
import type { globals } from "./globals.ts";

/** Connects to the auth service as its administrator. Throws when this is not its host, or it does not answer. */
export type ConnectAdmin = (
  io: Io,
  flags: Parsed<typeof globals>,
  signal: AbortSignal,
) => Promise<AuthClient>;

/** How a client is made of the `Admin` identity in the data folder. */
export type AdminDoor = Pick<typeof door, "openAdmin">;

interface Given<F extends Flags> {
  readonly flags: Parsed<F> & Parsed<typeof globals>;
  readonly io: Io;
  readonly signal: AbortSignal;
}

/** Runs `work` with a client and closes it afterwards. */
export async function withAdmin<F extends Flags>(
  connect: ConnectAdmin,
  { io, flags, signal }: Given<F>,
  work: (auth: AuthClient) => Promise<void>,
): Promise<number> {
  const auth = await connect(io, flags, signal);
  try {
    await work(auth);
    return 0;
  } finally {
    auth.close();
  }
}
