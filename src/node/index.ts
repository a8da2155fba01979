export { CommandLabels } from "./command-labels.ts";
export { labelOf } from "./label-command.ts";
export { type SessionKind, type SessionMeter, sessionKinds } from "./meter.ts";
export { NodeServer } from "./server.ts";
