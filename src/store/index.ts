export { withLock } from "./lock.ts";
export type {
  ChallengeRecord,
  PasswordRecord,
  SecurityKeysRecord,
  SignupRecord,
  SsoRequestRecord,
  TrustedClusterRecord,
  WebSessionRecord,
} from "./records.ts";
export { openStore, type Store } from "./store.ts";
export { nameOf, type StateChange, watchState } from "./watch.ts";
