/** A socket, as far as its bytes are counted. */
interface Counted {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  once(event: "close", listener: () => void): unknown;
}

/** What went over connections, those that are open included. The sockets count; here is only added up, when somebody asks. */
export class Traffic {
  readonly #open = new Set<Counted>();
  #received = 0;
  #sent = 0;

  add(socket: Counted): void {
    this.#open.add(socket);
    socket.once("close", () => {
      this.#open.delete(socket);
      this.#received += socket.bytesRead;
      this.#sent += socket.bytesWritten;
    });
  }

  /** Bytes. */
  get received(): number {
    return [...this.#open].reduce((sum, { bytesRead }) => sum + bytesRead, this.#received);
  }
  get sent(): number {
    return [...this.#open].reduce((sum, { bytesWritten }) => sum + bytesWritten, this.#sent);
  }
}
