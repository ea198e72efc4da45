// What values.schema.json says of the chart's values, as a tree; values.yaml and the page of the reference are written from
// it. The schema is written by hand, everything else is not.

/** The part of JSON Schema that the file uses. */
interface JsonSchema {
  readonly description?: string;
  readonly default?: unknown;
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: JsonSchema;
  readonly properties?: { readonly [name: string]: JsonSchema };
  readonly $ref?: string;
  readonly definitions?: { readonly [name: string]: JsonSchema };
}

/** A value, or a group of them. */
export interface ChartValue {
  readonly name: string;
  /** From the root, with dots. */
  readonly path: string;
  readonly description: string;
  readonly type: string;
  /** Undefined: of a group, and of what has no default. */
  readonly fallback: unknown;
  readonly children: readonly ChartValue[];
}

/** Values that nobody sets by hand. */
const unsaid = ['global'];

/** Throws for a value without a description or a default: whoever reads values.yaml has nothing else. */
export function readValues(schemaText: string): readonly ChartValue[] {
  const root = JSON.parse(schemaText) as JsonSchema;
  return childrenOf(root, { root, path: '', fallback: undefined });
}

interface Place {
  readonly root: JsonSchema;
  readonly path: string;
  /** Default of the group, which may say those of its parts. */
  readonly fallback: unknown;
}

function childrenOf(schema: JsonSchema, { root, path, fallback }: Place): readonly ChartValue[] {
  return Object.entries(schema.properties ?? {})
    .filter(([name]) => path !== '' || !unsaid.includes(name))
    .map(([name, given]) => {
      const own = resolve(given, root);
      const at = path === '' ? name : `${path}.${name}`;
      const value = own.default ?? (fallback as { [part: string]: unknown } | undefined)?.[name];
      const children = childrenOf(own, { root, path: at, fallback: value });
      if (own.description === undefined) throw new Error(`values.schema.json: ${at} says nothing`);
      if (children.length === 0 && value === undefined) {
        throw new Error(`values.schema.json: ${at} has no default`);
      }
      const shown = children.length > 0 ? undefined : value;
      const { description } = own;
      return { name, path: at, description, type: typeOf(own), fallback: shown, children };
    });
}

/** The schema with what it refers to; what it says itself comes first. */
function resolve(schema: JsonSchema, root: JsonSchema): JsonSchema {
  const name = schema.$ref?.replace('#/definitions/', '');
  return name === undefined ? schema : { ...root.definitions?.[name], ...schema };
}

function typeOf({ enum: choices, type = '', minimum, maximum, items }: JsonSchema): string {
  if (choices !== undefined) return choices.join(', ');
  if (minimum !== undefined && maximum !== undefined) return `number, ${minimum} to ${maximum}`;
  const names = { string: 'text', integer: 'number', boolean: 'true, false', array: 'list' };
  const named = (each: string): string => names[each as keyof typeof names] ?? each;
  if (type === 'array') return items?.type === 'string' ? 'list of texts' : 'list';
  return typeof type === 'string' ? named(type) : type.map(named).join(' or ');
}
