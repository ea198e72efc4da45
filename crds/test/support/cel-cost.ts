// An upper bound of what a rule costs, counted as an API server does before it takes a CustomResourceDefinition: a step is
// one, a text costs a tenth of its longest length, a loop as often as its list can be long, the rule as often as its
// place can occur. What has no bound costs more than any limit.

import { environment, isVisible } from './cel.ts';
import type { OpenApi } from './open-api.ts';

/** What one rule may cost, and all rules of a kind together. */
export const ruleCostMax = 10_000_000;
export const kindCostMax = 100_000_000;

interface Node {
  readonly op: string;
  readonly args: unknown;
}

interface Typed {
  readonly cost: number;
  /** Of a value that the schema describes. */
  readonly schema?: OpenApi | undefined;
  /** Characters or items at most, of a value that it does not. */
  readonly size?: number;
}

type Scope = { readonly [name: string]: Typed };

/** What one evaluation of the rule costs at most. */
export function costOf(rule: string, self: OpenApi): number {
  const seen: Typed = { cost: 1, schema: self };
  const scope = { self: seen, oldSelf: seen };
  return typed(environment.parse(rule).ast as unknown as Node, scope).cost;
}

/** How often a value of the schema's place can occur, by path. */
export function cardinalities(schema: OpenApi): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  const visit = (inner: OpenApi, path: string, times: number): void => {
    found.set(path, times);
    for (const [name, field] of Object.entries(inner.properties ?? {}))
      visit(field, path === '' ? name : `${path}.${name}`, times);
    if (inner.items !== undefined)
      visit(inner.items, `${path}[]`, times * (inner.maxItems ?? Infinity));
    if (inner.additionalProperties !== undefined)
      visit(inner.additionalProperties, `${path}.*`, times * (inner.maxProperties ?? Infinity));
  };
  visit(schema, '', 1);
  return found;
}

function typed(node: Node, scope: Scope): Typed {
  const { op, args } = node;
  if (op === 'value') return { cost: 0, size: typeof args === 'string' ? args.length : 1 };
  if (op === 'id') return scope[args as string] ?? { cost: 1, size: 1 };
  if (op === '.') return select(args as [Node, string], scope);
  if (op === 'list')
    return { cost: 10 + total(args as Node[], scope), size: (args as Node[]).length };
  if (op === 'call') return call(args as [string, Node[]], scope);
  if (op === 'rcall') return method(args as [string, Node, Node[]], scope);
  const parts = nodesOf(args).map((part) => typed(part, scope));
  const sum = parts.reduce((cost, part) => cost + part.cost, 0);
  const [one, other] = parts;
  if (!['==', '!=', '<', '<=', '>', '>=', 'in'].includes(op)) return { cost: sum + 1 };
  const sizes = [sizeOf(one), sizeOf(other)];
  const compared = op === 'in' ? Math.max(...sizes) : Math.min(...sizes);
  return { cost: sum + 1 + Math.ceil(compared / 10) };
}

function select([from, name]: [Node, string], scope: Scope): Typed {
  const { cost, schema } = typed(from, scope);
  const plain = name.replace(/^__(\w+)__$/, '$1').replaceAll('__dash__', '-');
  const inner = schema?.properties?.[plain] ?? schema?.additionalProperties;
  if (
    schema !== undefined &&
    plain !== 'metadata' &&
    plain !== 'name' &&
    (inner === undefined || !isVisible(inner))
  )
    throw new Error(`a rule reads ${name}, which is not there`);
  return inner === undefined ? { cost: cost + 1, size: 253 } : { cost: cost + 1, schema: inner };
}

/** Functions: `has` and `type` look at nothing, the others read their text. */
function call([name, args]: [string, Node[]], scope: Scope): Typed {
  const parts = args.map((arg) => typed(arg, scope));
  const sum = parts.reduce((cost, part) => cost + part.cost, 0);
  if (name === 'has' || name === 'type' || name === 'size') return { cost: sum + 1, size: 1 };
  if (name === 'duration' || name === 'quantity')
    return { cost: sum + 1 + Math.ceil(sizeOf(parts[0]) / 10), size: 1 };
  throw new Error(`no cost is known of ${name}()`);
}

const loops = ['all', 'exists', 'exists_one'];
const cheap = ['compareTo', 'isInteger', 'sub'];

function method([name, on, args]: [string, Node, Node[]], scope: Scope): Typed {
  const target = typed(on, scope);
  if (loops.includes(name)) {
    const [variable, step] = args as [Node, Node];
    const item = itemOf(target);
    const inner = typed(step, { ...scope, [variable.args as string]: item });
    return { cost: target.cost + lengthOf(target) * (inner.cost + 3) };
  }
  const sum = target.cost + total(args, scope) + 1;
  if (cheap.includes(name)) return { cost: sum, size: 1 };
  const text = Math.ceil(sizeOf(target) / 10);
  const argument = sizeOf(typed(args[0] as Node, scope));
  if (name === 'matches') return { cost: sum + text * Math.ceil(argument / 4) };
  if (name === 'contains') return { cost: sum + text * Math.ceil(argument / 10) };
  if (name === 'startsWith' || name === 'endsWith') return { cost: sum + Math.ceil(argument / 10) };
  throw new Error(`no cost is known of .${name}()`);
}

/** What a loop's variable stands for: an item of a list, a name of a map. */
function itemOf({ schema }: Typed): Typed {
  if (schema?.items !== undefined) return { cost: 1, schema: schema.items };
  return { cost: 1, size: schema === undefined ? 1 : 317 };
}

function lengthOf({ schema, size = Infinity }: Typed): number {
  if (schema === undefined) return size;
  return schema.maxItems ?? schema.maxProperties ?? Infinity;
}

/** The longest text in bytes; anything else is one. */
function sizeOf(part: Typed | undefined): number {
  const { schema, size = 1 } = part ?? {};
  if (schema === undefined) return size;
  if (schema['x-kubernetes-int-or-string'] === true) return 4 * (schema.maxLength ?? Infinity);
  if (schema.type !== 'string') return 1;
  if (schema.enum !== undefined) return Math.max(...schema.enum.map(({ length }) => length));
  return 4 * (schema.maxLength ?? Infinity);
}

function total(nodes: readonly Node[], scope: Scope): number {
  return nodes.reduce((cost, node) => cost + typed(node, scope).cost, 0);
}

function nodesOf(args: unknown): Node[] {
  if (Array.isArray(args)) return args.flatMap(nodesOf);
  return typeof args === 'object' && args !== null && 'op' in args ? [args as Node] : [];
}
