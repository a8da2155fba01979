import { type Node, namesOf } from "#model";

/** Nodes by id, found also by name and by address: a proxy looks one up for every connection, and there may be thousands. */
export class NodeIndex extends Map<string, Node> {
  readonly #named = new Map<string, Set<string>>();

  override set(id: string, node: Node): this {
    this.delete(id);
    for (const name of namesOf(node)) {
      const ids = this.#named.get(name);
      if (ids) ids.add(id);
      else this.#named.set(name, new Set([id]));
    }
    return super.set(id, node);
  }

  override delete(id: string): boolean {
    const node = this.get(id);
    for (const name of node ? namesOf(node) : []) {
      const ids = this.#named.get(name);
      ids?.delete(id);
      if (ids?.size === 0) this.#named.delete(name);
    }
    return super.delete(id);
  }

  /** Those whose id, name or address this is, in whatever case. */
  at(name: string): readonly Node[] {
    const ids = this.#named.get(name.toLowerCase()) ?? [];
    return [...ids].flatMap((id) => this.get(id) ?? []);
  }
}
