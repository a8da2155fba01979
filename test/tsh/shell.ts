import { createHash } from "node:crypto";
import { duplex } from "#ssh";
import { AgentClient } from "#ssh/agent";
import type { Program } from "./program.ts";

/** SHA-256 in hex. */
export const sum = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");

async function collect(from: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of from) parts.push(part);
  return Buffer.concat(parts);
}

/** What hosts of the tests run: one word, then arguments. */
export const shell: Program = async (session) => {
  const { command = "shell", channel } = session;
  const say = (text: string): Promise<void> => channel.write(Buffer.from(text));
  const [word, ...rest] = command.split(" ");
  if (word === "exit") return session.exit(Number(rest[0]));
  if (word === "kill") return session.kill(rest[0] as string);
  if (word === "vanish") return session.connection.disconnect("gone");
  if (word === "sum") await say(sum(await collect(channel)));
  else if (word === "cat") for await (const part of channel) await channel.write(part);
  else if (word === "late") {
    await collect(channel);
    await say("after the end of input");
  } else if (word === "shout") await channel.writeStderr(Buffer.from("this is why\n"));
  else if (word === "env") {
    for (const { name, body } of session.requests)
      if (name === "env") await say(`${body.name}=${body.value}\n`);
  } else if (word === "agent") {
    const { channel: back } = await session.connection.open("auth-agent@openssh.com");
    using agent = new AgentClient(duplex(back));
    await say((await agent.identities()).map(({ comment }) => comment).join("\n"));
  } else await say(command);
  return session.exit(0);
};
