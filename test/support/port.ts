import { once } from "node:events";
import { createServer } from "node:net";

/**
 * A TCP port of 127.0.0.1 that nothing listens on at this moment: for programs that cannot be given port 0. It lies below the
 * range of which the kernel gives ports to outgoing connections, so that none of these takes it before the program does.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest));
    const server = createServer().listen(port, "127.0.0.1");
    try {
      await once(server, "listening");
    } catch {
      continue; // taken
    }
    server.close();
    await once(server, "close");
    return port;
  }
}

const [lowest, highest] = [15_000, 32_000];
