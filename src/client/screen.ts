/**
 * What a recording may do to the terminal that it is shown on: draw. Taken out is what would make the terminal answer as
 * if somebody typed (device reports, DECRQSS), reach beyond the screen (clipboard, title, links, printer) or carry a
 * string to who knows what (DCS, APC, PM, SOS). A sequence may lie across any number of chunks.
 */
export class ScreenFilter {
  readonly #decoder = new TextDecoder();
  #state: "text" | "escape" | "csi" | "string" | "string escape" = "text";
  #pending = "";

  /** The bytes of `chunk`, and of what came before, that are safe to show now. */
  pass(chunk: Uint8Array): Uint8Array {
    let shown = "";
    for (const char of this.#decoder.decode(chunk, { stream: true })) shown += this.#take(char);
    return Buffer.from(shown);
  }

  #take(char: string): string {
    const code = char.codePointAt(0) as number;
    switch (this.#state) {
      case "text":
        if (char === "\u001b") return this.#begin(char);
        // ENQ asks for an answer; the C1 controls are escape sequences in one character.
        return code === 5 || (code >= 0x80 && code <= 0x9f) ? "" : char;
      case "escape":
        return this.#escape(char, code);
      case "csi":
        return this.#csi(char, code);
      case "string":
        if (char === "\u0007" || char === "\u0018" || char === "\u001a" || char === "\u009c")
          this.#state = "text";
        else if (char === "\u001b") this.#state = "string escape";
        return "";
      case "string escape":
        if (char === "\\") this.#state = "text";
        else {
          // Not the terminator: another sequence begins, and the string is over.
          this.#begin("\u001b");
          return this.#escape(char, code);
        }
        return "";
    }
  }

  #begin(char: string): string {
    this.#state = "escape";
    this.#pending = char;
    return "";
  }

  #escape(char: string, code: number): string {
    if (char === "\u001b") return this.#begin(char);
    if (char === "[") {
      this.#state = "csi";
      this.#pending += char;
      return "";
    }
    if ("]PX^_".includes(char)) {
      this.#state = "string";
      return "";
    }
    // Intermediate characters: the sequence goes on.
    if (code >= 0x20 && code <= 0x2f && this.#pending.length < 8) {
      this.#pending += char;
      return "";
    }
    this.#state = "text";
    // ESC Z asks what terminal this is.
    if (code < 0x30 || code > 0x7e || (char === "Z" && this.#pending.length === 1)) return "";
    return this.#pending + char;
  }

  #csi(char: string, code: number): string {
    if (char === "\u001b") return this.#begin(char);
    if (code >= 0x20 && code <= 0x3f) {
      this.#pending += char;
      if (this.#pending.length > 256) this.#state = "text";
      return "";
    }
    this.#state = "text";
    if (code < 0x40 || code > 0x7e) return "";
    return drawing(this.#pending.slice(2), char);
  }
}

/** DEC private modes of the screen and the cursor. Others make the terminal report keys, mouse, focus or pastes. */
const screenModes = new Set([
  "1",
  "3",
  "5",
  "6",
  "7",
  "12",
  "25",
  "45",
  "47",
  "66",
  "69",
  "1047",
  "1048",
  "1049",
]);

/** A control sequence (ECMA-48 §5.4) of which `before` stands between CSI and its final character: as much of it as draws. */
function drawing(before: string, final: string): string {
  const match = /^([<=>?]?)([0-9:;]*)([ -/]*)$/.exec(before);
  if (!match) return "";
  const [, prefix, parameters = "", intermediate] = match;
  const whole = `\u001b[${before}${final}`;
  // Cursor, erase, insert, delete, scroll, tabs, colours, margins.
  if (prefix === "" && intermediate === "")
    return "@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu".includes(final) ? whole : "";
  // Shape of the cursor; soft reset.
  if (prefix === "" && [" q", "!p"].includes(`${intermediate}${final}`)) return whole;
  if (prefix !== "?" || intermediate !== "") return "";
  if ("JK".includes(final)) return whole;
  if (!"hl".includes(final)) return "";
  const modes = parameters.split(";").filter((mode) => screenModes.has(mode));
  return modes.length === 0 ? "" : `\u001b[?${modes.join(";")}${final}`;
}

/** Puts back what a recording may have left on: colours, character set, insert mode, hidden cursor, other screen, margins. */
export const afterRecording =
  "\u000f\u001b[0m\u001b(B\u001b[4l\u001b[?1l\u001b[?25h\u001b[?1049l\u001b[?69l\u001b[r";
