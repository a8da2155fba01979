/**
 * Escape sequences that drive a terminal (ECMA-48): CSI, then the string-carrying ones (OSC, DCS, SOS, PM, APC) up to their
 * terminator or the end, then two-character ones; each in its 7-bit and its 8-bit form.
 */
const sequences =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?|\u001b[ -/]*[0-~]?/g;
/** Control characters, and marks that turn the direction of text around and so disguise it. */
export const invisible =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** `text`, which others chose, as it may be shown on a terminal: without control sequences, on one line (CLI-05). */
export const printable = (text: string): string =>
  isPlain(text) ? text : text.replace(sequences, "").replace(invisible, "");

/** `text` with nothing taken away: what a terminal would act on is written as JSON writes it, `\\u001b`. */
export const escaped = (text: string): string =>
  isPlain(text)
    ? text
    : text.replace(invisible, (c) => short[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
const short: Readonly<Record<string, string>> = { "\n": "\\n", "\t": "\\t", "\r": "\\r" };

/** As `printable`, for text of several lines; tabs stay too. */
export const printableLines = (text: string): string => text.split("\n").map(printableLine).join("\n");
const printableLine = (line: string): string => line.split("\t").map(printable).join("\t");

const wide =
  /^(?:\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|.\ufe0f)/u;

/**
 * Anything but characters of one column that are nothing else: Latin letters, and dashes, quotes, dots from U+2010 on. Of what holds
 * none, as nearly all text, nothing has to be taken out, and its length is its width.
 */
const special = /[^ -~\u00a0-\u02ff\u2010-\u2027]/;
const isPlain = (text: string): boolean => !special.test(text);

/** Its first `width` characters, the last of them `…` where there are more. */
export function cut(text: string, width: number): string {
  if (text.length <= width) return text;
  if (isPlain(text)) return `${text.slice(0, width - 1)}…`;
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join("")}…`;
}

/** How many columns of a terminal `text` takes. */
export function columns(text: string): number {
  // The tables of Unicode take 20 ms to load.
  if (isPlain(text)) return text.length;
  const graphemes = new Intl.Segmenter();
  let total = 0;
  for (const { segment } of graphemes.segment(text)) {
    if (wide.test(segment)) total += 2;
    else if (!/^\p{M}|^\u200d/u.test(segment)) total += 1;
  }
  return total;
}
