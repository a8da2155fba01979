const yes = ["yes", "yeah", "y", "true", "1", "on"];
const no = ["no", "nope", "n", "false", "0", "off"];

/** What a word says, in any case (CFG-05); `undefined` when it says neither. */
export function yesNoOf(word: string): boolean | undefined {
  const lower = word.toLowerCase();
  return yes.includes(lower) ? true : no.includes(lower) ? false : undefined;
}
