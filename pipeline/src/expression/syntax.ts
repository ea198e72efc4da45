// The syntax tree of the CEL library (@marcbachmann/cel-js, pinned to one version), as far as we look into it: to
// bound what an expression may cost, to run its regular expressions in linear time, and to see what it reads.

/** A node. `handle` appears when the node was type-checked. */
export interface CelNode {
  readonly op: string;
  readonly args: unknown;
  readonly start: number;
  readonly end: number;
  readonly meta: {
    /** What a macro was expanded to; it runs in place of the node. */
    readonly alternate?: CelNode;
    readonly macro?: object;
    readonly evaluate: (...args: readonly unknown[]) => unknown;
  };
  handle?: (a: unknown, b: unknown, c: unknown, d: unknown) => unknown;
  setMeta(key: 'evaluate', value: (...args: readonly unknown[]) => unknown): unknown;
}

/** What a comprehension macro is expanded to. */
export interface Comprehension {
  readonly iterable: CelNode;
  readonly iterVarName: string;
  readonly step: CelNode;
}

export function isCelNode(value: unknown): value is CelNode {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value;
}

/** The comprehension that a node stands for; undefined for every other node. */
export function comprehensionOf(node: CelNode): Comprehension | undefined {
  const { alternate } = node.meta;
  return alternate?.op === 'comprehension' ? (alternate.args as Comprehension) : undefined;
}

/** The nodes right below: of a comprehension its range and step, of a macro its arguments. */
export function childrenOf(node: CelNode): readonly CelNode[] {
  const comprehension = comprehensionOf(node);
  if (comprehension !== undefined) return [comprehension.iterable, comprehension.step];
  return nodesIn(node.args);
}

function nodesIn(args: unknown): CelNode[] {
  if (isCelNode(args)) return [args];
  return Array.isArray(args) ? args.flatMap(nodesIn) : [];
}

/** The string of a literal node; undefined for every other node. */
export function stringLiteral(node: CelNode | undefined): string | undefined {
  return node?.op === 'value' && typeof node.args === 'string' ? node.args : undefined;
}

/** The field that a node reads of the variable `record`, by dot or by bracket; undefined for every other node. */
export function recordFieldOf(node: CelNode): string | undefined {
  if (node.op !== '.' && node.op !== '[]') return undefined;
  const [left, right] = node.args as [CelNode, unknown];
  if (left.op !== 'id' || left.args !== 'record') return undefined;
  return typeof right === 'string' ? right : stringLiteral(right as CelNode);
}
