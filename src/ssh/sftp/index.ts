/** SFTP version 3, the server's side. */
export type { Attributes } from "./attributes.ts";
export type {
  FileSystemState,
  Files,
  FolderEntry,
  OpenFile,
  OpenFolder,
  OpenOptions,
  Path,
} from "./files.ts";
export { fileSystemFlags } from "./messages.ts";
export { type SftpLink, serveSftp } from "./server.ts";
