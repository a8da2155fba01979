import { randomBytes } from "node:crypto";

/** A certificate's serial number: 63 random bits, so that no two are alike and OpenSSH's revocation lists can name one. */
export const serialNumber = (): bigint => randomBytes(8).readBigUInt64BE() >> 1n;
