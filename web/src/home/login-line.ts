/** The command that signs a terminal in, safe to paste whatever the name holds. */
export const loginLine = (proxy: string, user: string): string =>
  `tsh login --proxy=${word(proxy)} --user=${word(user)}`;

/** One word of a POSIX shell. */
const word = (text: string): string =>
  /^[A-Za-z0-9._@:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
