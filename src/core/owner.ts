/** Who holds what on disk, so that a later process can tell what nobody holds any more. */
export interface Owner {
  /** This process, as a line of text. */
  readonly mark: string;
  /** Whether the process of a mark is still there. */
  lives(mark: string): boolean;
}
