/** The command that signs a terminal in, safe to paste whatever the name holds. `auth`: the connector that one logs in by. */
export const loginLine = (proxy: string, user: string, auth: string | undefined): string =>
  `tsh login --proxy=${word(proxy)} ${auth === undefined ? `--user=${word(user)}` : `--auth=${word(auth)}`}`;

/** One word of a POSIX shell. */
const word = (text: string): string =>
  /^[A-Za-z0-9._@:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
