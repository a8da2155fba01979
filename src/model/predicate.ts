import { Fault } from "#core/errors";

/**
 * The `where` language of rules (RBAC-08): `equals(a, b)`, `contains(list, x)`, `&&`, `||`, `!`, parentheses, over
 * strings in quotes and fields of `user` and `resource`: `user.spec.traits["team"]`, `resource.metadata.name`.
 */
export type Expression =
  | { readonly op: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | { readonly op: "not"; readonly of: Expression }
  | { readonly op: "equals" | "contains"; readonly left: Operand; readonly right: Operand };
type Operand =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "field"; readonly root: "user" | "resource"; readonly path: readonly string[] };

/** What expressions speak of. Without a `resource`, claims about it are neither true nor false. */
export interface Subjects {
  readonly user: object;
  readonly resource?: object | undefined;
}

const longest = 4096;
const deepest = 50;
const tokenPattern =
  /\s*(?:(&&|\|\||[!().,[\]])|([A-Za-z_][A-Za-z0-9_]*)|"((?:[^"\\]|\\["\\])*)"|'((?:[^'\\]|\\['\\])*)')\s*/y;

const levels = ["debug", "info", "warning", "error"] as const;

/** What a rule wants in the log. */
export interface LogAction {
  readonly level: (typeof levels)[number];
  readonly message: string;
}

type Token = { readonly kind: "sign" | "name" | "text"; readonly text: string };

/** Throws `bad_parameter` with what was expected and where. */
export function parsePredicate(source: string): Expression {
  const parser = new Parser(source);
  const expression = parser.or(0);
  parser.end();
  return expression;
}

/** An action of a rule: `log("info", "message")`. Throws `bad_parameter`. */
export function parseAction(source: string): LogAction {
  const parser = new Parser(source);
  const action = parser.log();
  parser.end();
  return action;
}

/** Whether `expression` holds; undefined when that hangs on a resource that is not given. */
export function holds(expression: Expression, about: Subjects): boolean | undefined {
  switch (expression.op) {
    case "not": {
      const inner = holds(expression.of, about);
      return inner === undefined ? undefined : !inner;
    }
    case "and":
    case "or": {
      const decides = expression.op === "or";
      const left = holds(expression.left, about);
      if (left === decides) return decides;
      const right = holds(expression.right, about);
      if (right === decides) return decides;
      return left === undefined || right === undefined ? undefined : !decides;
    }
    case "equals":
    case "contains": {
      const [left, right] = [expression.left, expression.right];
      for (const side of [left, right])
        if (side.kind === "field" && side.root === "resource" && !about.resource) return undefined;
      const [a, b] = [reads(left, about), reads(right, about)];
      if (expression.op === "contains")
        return Array.isArray(a) && typeof b === "string" ? a.includes(b) : false;
      if (Array.isArray(a) && Array.isArray(b))
        return a.length === b.length && a.every((item, i) => item === b[i]);
      return a !== undefined && a === b;
    }
  }
}

function reads(operand: Operand, about: Subjects): unknown {
  if (operand.kind === "text") return operand.text;
  let at: unknown = about[operand.root];
  for (const step of operand.path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, step)) return undefined;
    at = (at as Record<string, unknown>)[step];
  }
  return at;
}

class Parser {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #next = 0;

  constructor(source: string) {
    this.#source = source;
    if (source.length > longest)
      throw new Fault("bad_parameter", `a condition may have ${longest} characters at most`);
    tokenPattern.lastIndex = 0;
    while (tokenPattern.lastIndex < source.length) {
      const from = tokenPattern.lastIndex;
      const found = tokenPattern.exec(source);
      if (!found)
        throw this.#fault(`cannot be read from ${JSON.stringify(source.slice(from, from + 20))} on`);
      const [, sign, name, double, single] = found;
      if (sign !== undefined) this.#tokens.push({ kind: "sign", text: sign });
      else if (name !== undefined) this.#tokens.push({ kind: "name", text: name });
      else this.#tokens.push({ kind: "text", text: (double ?? single ?? "").replace(/\\(.)/g, "$1") });
    }
  }

  or(depth: number): Expression {
    let left = this.#and(depth);
    while (this.#take("||")) left = { op: "or", left, right: this.#and(depth) };
    return left;
  }

  log(): LogAction {
    this.#expectName("log");
    this.#expect("(");
    const text = this.#text();
    const level = levels.find((one) => one === text);
    const parts: string[] = [];
    while (this.#take(",")) parts.push(this.#text());
    this.#expect(")");
    if (level === undefined)
      throw this.#fault(`has the level ${JSON.stringify(text)}; use ${levels.join(", ")}`);
    return { level, message: parts.join(" ") };
  }

  end(): void {
    const token = this.#tokens[this.#next];
    if (token) throw this.#fault(`goes on with ${JSON.stringify(token.text)} where it should end`);
  }

  #and(depth: number): Expression {
    let left = this.#unary(depth);
    while (this.#take("&&")) left = { op: "and", left, right: this.#unary(depth) };
    return left;
  }

  #unary(depth: number): Expression {
    if (depth > deepest) throw this.#fault("is nested too deep");
    if (this.#take("!")) return { op: "not", of: this.#unary(depth + 1) };
    if (this.#take("(")) {
      const inner = this.or(depth + 1);
      this.#expect(")");
      return inner;
    }
    const op = this.#expectName("equals", "contains");
    this.#expect("(");
    const left = this.#operand();
    this.#expect(",");
    const right = this.#operand();
    this.#expect(")");
    return { op, left, right };
  }

  #operand(): Operand {
    if (this.#tokens[this.#next]?.kind === "text") return { kind: "text", text: this.#text() };
    const root = this.#expectName("user", "resource");
    const path: string[] = [];
    while (true) {
      if (this.#take(".")) path.push(this.#expectName());
      else if (this.#take("[")) {
        path.push(this.#text());
        this.#expect("]");
      } else return { kind: "field", root, path };
    }
  }

  #text(): string {
    const token = this.#tokens[this.#next];
    if (token?.kind !== "text") throw this.#expected("a text in quotes");
    this.#next++;
    return token.text;
  }

  #take(sign: string): boolean {
    const token = this.#tokens[this.#next];
    if (token?.kind !== "sign" || token.text !== sign) return false;
    this.#next++;
    return true;
  }

  #expect(sign: string): void {
    if (!this.#take(sign)) throw this.#expected(JSON.stringify(sign));
  }

  #expectName<N extends string>(...names: N[]): N {
    const token = this.#tokens[this.#next];
    if (token?.kind !== "name" || (names.length > 0 && !names.includes(token.text as N)))
      throw this.#expected(names.join(" or ") || "a name");
    this.#next++;
    return token.text as N;
  }

  #expected(what: string): Fault {
    const token = this.#tokens[this.#next];
    return this.#fault(`has ${token ? JSON.stringify(token.text) : "its end"} where ${what} should be`);
  }

  #fault(why: string): Fault {
    return new Fault("bad_parameter", `the condition ${JSON.stringify(this.#source.slice(0, 200))} ${why}`);
  }
}
