export { CommandLabels } from "./command-labels.ts";
export { labelOf } from "./label-command.ts";
export { NodeServer } from "./server.ts";
