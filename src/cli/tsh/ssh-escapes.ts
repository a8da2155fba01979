// What the escape character does at the beginning of a line of a terminal session, as in OpenSSH.
import { type EscapeReader, escapes, type ForwardFlag, forwarding, type Typed } from "#client";
import { printable } from "../text.ts";
import type { Keyboard, Line } from "./ssh-session.ts";
import type { Settings } from "./ssh-settings.ts";
import type { SessionTerminal } from "./ssh-terminal.ts";

/** The keyboard's input for the session, without what is meant for us. */
export async function readKeys(
  input: AsyncIterable<Uint8Array>,
  settings: Settings,
  terminal: SessionTerminal,
  line: Line,
  keyboard: Keyboard,
): Promise<AsyncIterable<Uint8Array>> {
  const api = await escapes();
  const byte = settings.escape as number;
  const shown = byte < 0x20 ? `^${String.fromCharCode(byte | 0x40)}` : String.fromCharCode(byte);
  const reader: EscapeReader = new api.EscapeReader(byte);
  return api.withoutEscapes(input, reader, (typed) => act(typed));

  async function act(typed: Exclude<Typed, { kind: "data" }>): Promise<void> {
    if (typed.kind === "echo") terminal.write(typed.text);
    else if (typed.kind === "command") await runCommand(typed.line, line, settings, terminal);
    else if (typed.key === "^Z") {
      terminal.say(`${shown}^Z [suspend tsh]`);
      terminal.suspend();
    } else if (typed.key === "#") {
      const list = (await line.forwards()).list();
      terminal.say(`${shown}#\n${list.map((one) => `  ${printable(one)}`).join("\n")}`);
    } else if (typed.key === "B") {
      terminal.say(`${shown}B [sent break]`);
      keyboard.sendBreak();
    } else if (typed.key === "R") {
      terminal.say(`${shown}R [asked for new keys]`);
      line.connection.rekey();
    } else if (typed.key === "?") terminal.say(help(shown));
    else if (typed.key === ".") {
      terminal.say(`${shown}.\nConnection to ${printable(line.host.name)} closed.`);
      keyboard.left = true;
      line.connection.disconnect("the user left");
    }
  }
}

const help = (shown: string): string =>
  `${shown}?
Escapes, at the beginning of a line:
  ${shown}.   end the connection
  ${shown}^Z  stop tsh for a while
  ${shown}#   list forwards
  ${shown}B   send a break
  ${shown}R   ask for new keys
  ${shown}C   open a command line, for forwards
  ${shown}?   show this
  ${shown}${shown}   send the escape character`;

const commandHelp = `Commands:
  -L[bind:]port:host:hostport   bring a port of the host's side here
  -R[bind:]port:host:hostport   bring a port of this side to the host
  -D[bind:]port                 serve SOCKS here
  -KL[bind:]port, -KR…, -KD…    end a forward`;

/** One line typed behind the escape and `C`. */
async function runCommand(
  text: string,
  line: Line,
  { gatewayPorts }: Settings,
  terminal: SessionTerminal,
): Promise<void> {
  const words = text.trim();
  if (words === "") return;
  const [, ends, letter, spec = ""] = /^-(K?)([LRD])\s*(.*)$/i.exec(words) ?? [];
  if (letter === undefined) return terminal.say(commandHelp);
  const flag = letter.toUpperCase() as ForwardFlag;
  try {
    const [forwards, { parseForward, parseListening, placeText }] = await Promise.all([
      line.forwards(),
      forwarding(),
    ]);
    if (ends) {
      const where = parseListening(flag, spec, { gatewayPorts });
      const ended = await forwards.close(flag === "R" ? "remote" : "local", where);
      terminal.say(ended ? "The forward has ended." : `There is no such forward: ${placeText(where)}`);
    } else {
      const at = await forwards.open(parseForward(flag, spec, { gatewayPorts }));
      terminal.say(`Forwarding from ${placeText(at)}.`);
    }
  } catch (err) {
    terminal.say(printable((err as Error).message));
  }
}
