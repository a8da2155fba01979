/** What runs in a session: a shell or a command on a terminal, a command without one, or the server's side of a copy. */
export const sessionKinds = ["terminal", "exec", "scp", "sftp"] as const;
export type SessionKind = (typeof sessionKinds)[number];

/** Is told of every session that begins. */
export interface SessionMeter {
  /** Answers what is to be called when it has ended. */
  began(kind: SessionKind): () => void;
}
