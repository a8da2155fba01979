export { endAbandoned } from "./abandoned.ts";
export { type Client, type Command, runCommand } from "./exec.ts";
export { type Activity, activity, untilLimit } from "./limits.ts";
export { noRecorder, type Recorder, recordTo } from "./recorder.ts";
export { Seats } from "./seats.ts";
export { type Exit, LiveSession, type Party, type Shell } from "./session.ts";
export { Spool } from "./spool.ts";
export { type Telling, tell, type Who } from "./tell.ts";
export { type Digests, uploader } from "./uploader.ts";
