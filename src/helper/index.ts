export type { Copied } from "#copy";
export { type Account, Accounts, parsePasswd } from "./account.ts";
export { loginPath, mayRequest, sessionEnvironment, type Variables } from "./environment.ts";
export { type LoggedIn, Logins } from "./logins.ts";
export { Pipes } from "./pipes.ts";
export { Programs } from "./programs.ts";
export type { SftpAction, SftpReport } from "./sftp/told.ts";
export { type Running, Spawner } from "./spawn.ts";
export { sttyArguments } from "./stty.ts";
