/** `word` as a POSIX shell reads it back unchanged: bare when that is safe, else in single quotes. */
export const shellWord = (word: string): string =>
  /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
