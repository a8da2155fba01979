/** One file that was copied, or was not. */
export interface Copied {
  readonly action: "read" | "write";
  /** Absolute; bytes that are not UTF-8 are shown as replacement characters. */
  readonly path: string;
  /** Bytes. */
  readonly len: number;
  /** Empty when it was copied whole. */
  readonly error: string;
}
