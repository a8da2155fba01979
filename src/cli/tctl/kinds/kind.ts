import type { AuthClient } from "#authclient";

/** What every resource has. */
export interface Named {
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

/** A kind of resource as `tctl get`, `rm` and `edit` know it. */
export interface Kind<R extends Named = Named> {
  readonly kind: string;
  /** Other words for it, in lower case. */
  readonly aliases: readonly string[];
  list(auth: AuthClient, options: { secrets: boolean }, signal: AbortSignal): Promise<readonly R[]>;
  /** What tells it from others of its `metadata.name`; that name by default. */
  readonly id?: (resource: R) => string;
  /** What it may be called besides. */
  readonly alsoNamed?: (resource: R) => string;
  remove?(auth: AuthClient, resource: R, signal: AbortSignal): Promise<void>;
  /** The line that tells of a removal, where that is not `user joe has been deleted`. */
  readonly removed?: (resource: R) => string;
  /** Where there is no `remove`: what to do instead. */
  readonly instead?: string;
  /** What `rm` means where there is none of this kind of that name. */
  readonly orElse?: Kind;
  /** What a removal leaves, a line each. */
  remains?(auth: AuthClient, resource: R, signal: AbortSignal): Promise<readonly string[]>;
  /** For people. */
  text(resources: readonly R[]): string[];
}

/** A kind among others: whoever has it from a list gives it only what its own `list` answered. */
export const of = <R extends Named>(kind: Kind<R>): Kind => kind as unknown as Kind;

export const idOf = (kind: Kind, resource: Named): string => kind.id?.(resource) ?? resource.metadata.name;

export const list = (values: readonly string[] | undefined): string => (values ?? []).join(",");

export const sorted = <R extends Named>(found: readonly R[], id: (one: R) => string = nameOf): R[] =>
  found.toSorted((a, b) => (id(a) < id(b) ? -1 : 1));

const nameOf = ({ metadata }: Named): string => metadata.name;
