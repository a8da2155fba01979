import type { Clock } from "#core/clock";
import { AddressBuckets } from "#net";

/** How often one address may ask what a stranger can ask. */
export interface AddressLimits {
  /** Whatever checks a password, a code or a token. A whole office may sit behind one address. */
  readonly logins: AddressBuckets;
  /** Questions about what is here. */
  readonly questions: AddressBuckets;
}

export const addressLimits = (clock: Clock): AddressLimits => ({
  logins: new AddressBuckets({ clock, burst: 60, perSecond: 1 }),
  questions: new AddressBuckets({ clock, burst: 60, perSecond: 5 }),
});
