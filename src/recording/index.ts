export { parseEvents, type RecordingEvent } from "./log.ts";
export { type Frame, type PlayOptions, play } from "./player.ts";
export { type Appended, type Digest, type Recorded, RecordingWriter } from "./writer.ts";
