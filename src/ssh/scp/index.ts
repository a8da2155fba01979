export type { Times } from "./message.ts";
export { receive, type ScpLink, type SinkFile, type SinkFolder } from "./sink.ts";
export { type SourceEntry, send } from "./source.ts";
