export { AuditLog, openAuditLog } from "./audit-log.ts";
export { type Destination, parseDestination } from "./destination.ts";
export { admGroup } from "./event-files.ts";
export {
  type Digests,
  type Part,
  RecordingFiles,
  type RecordingStore,
} from "./recordings.ts";
export type { EventStore, Found, Query } from "./store.ts";
