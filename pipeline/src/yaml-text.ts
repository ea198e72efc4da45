// YAML and JSON text to plain values, within bounds: no custom tags, no duplicate keys, no alias bombs, integers
// exact to 64 bits. Knows the line of every field, so that errors can name it. Never throws for bad text.

import { EtlError, limits } from '@etl-router/core';
import {
  CORE_SCHEMA,
  constructFromEvents,
  defineScalarTag,
  EVENT_ID,
  type Event,
  getScalarValue,
  intCoreTag,
  NOT_RESOLVED,
  parseEvents,
  type Schema,
  YAMLException,
} from 'js-yaml';
import { isJsonObject, isList, joinPath } from './field-reader.ts';
import type { Json } from './model.ts';

/** One document of a text. */
export interface YamlDocument {
  /** Its place in the text, from 0; empty documents count. */
  readonly index: number;
  readonly value: Json;
  /** Line (from 1) of the field at `path`, or of the nearest one around it. */
  lineOf(path: string): number | undefined;
}

/** Why a text, or one value in it, is not accepted. */
export interface YamlProblem {
  readonly code: 'Syntax' | 'TooLarge' | 'BadValue';
  /** Index of the document, from 0; undefined when the whole text is refused. */
  readonly document: number | undefined;
  readonly path: string;
  readonly message: string;
  readonly line: number | undefined;
}

export interface YamlText {
  readonly documents: readonly YamlDocument[];
  readonly problems: readonly YamlProblem[];
}

/** What a text may hold at most; the defaults are those of core's limits. */
export interface YamlLimits {
  readonly maxBytes: number;
  readonly maxDocuments: number;
}

const maxUint64 = 2n ** 64n - 1n;
const minInt64 = -(2n ** 63n);

const exactInteger = defineScalarTag<number | bigint>(intCoreTag.tagName, {
  implicit: true,
  implicitFirstChars: intCoreTag.implicitFirstChars,
  identify: () => false,
  resolve(source, isExplicit, tagName) {
    const value = intCoreTag.resolve(source, isExplicit, tagName);
    if (value === NOT_RESOLVED || Number.isSafeInteger(value)) return value;
    const digits = source.replace(/^[+-]/, '');
    const magnitude = BigInt(digits);
    return source.startsWith('-') ? -magnitude : magnitude;
  },
});

const schema: Schema = CORE_SCHEMA.withTags(exactInteger);

/** Reads every document of `input`; those that hold nothing are left out. */
export function readYaml(input: string | Uint8Array, bounds?: Partial<YamlLimits>): YamlText {
  const { maxBytes = limits.manifestMaxBytes, maxDocuments = limits.manifestMaxDocuments } =
    bounds ?? {};
  const decoded = decodeText(input, maxBytes);
  if (typeof decoded !== 'string') return { documents: [], problems: [decoded] };
  try {
    const events = parseEvents(decoded, { maxDepth: limits.manifestMaxDepth });
    const count = events.filter((event) => event.type === EVENT_ID.DOCUMENT).length;
    if (count > maxDocuments) {
      return refuse('TooLarge', `${count} documents are more than ${maxDocuments}; split the file`);
    }
    const values = constructFromEvents(events, {
      source: decoded,
      schema,
      maxAliases: limits.manifestMaxAliases,
    });
    return checkDocuments(values, createLineIndex(events, decoded));
  } catch (error) {
    if (error instanceof YAMLException) {
      const { mark } = error;
      const line = mark === undefined ? undefined : mark.line + 1;
      const code = /exceeded/.test(error.reason) ? 'TooLarge' : 'Syntax';
      const tab = decoded.split('\n')[mark?.line ?? -1]?.startsWith('\t') === true;
      return refuse(code, tab ? 'a tab indents the line; YAML takes spaces' : error.reason, line);
    }
    if (error instanceof RangeError) return refuse('TooLarge', 'the text is nested too deeply');
    throw error;
  }
}

function refuse(code: 'Syntax' | 'TooLarge', message: string, line?: number): YamlText {
  const problem = { code, document: undefined, path: '', message, line };
  return { documents: [], problems: [problem] };
}

function decodeText(input: string | Uint8Array, maxBytes: number): string | YamlProblem {
  const bad = (code: 'Syntax' | 'TooLarge', message: string): YamlProblem => {
    return { code, document: undefined, path: '', message, line: undefined };
  };
  const size = typeof input === 'string' ? Buffer.byteLength(input) : input.length;
  if (size > maxBytes) {
    return bad('TooLarge', `${size} bytes are more than ${maxBytes}; split the file`);
  }
  let text: string;
  if (typeof input === 'string') text = input;
  else {
    const [first, second] = input;
    if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
      return bad('Syntax', 'the text is UTF-16; save it as UTF-8');
    }
    try {
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(input);
    } catch {
      return bad('Syntax', 'the text is not UTF-8');
    }
  }
  const nul = text.indexOf('\0');
  if (nul >= 0) {
    return bad('Syntax', 'the text holds a NUL; it is binary, or UTF-16 that should be UTF-8');
  }
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

function checkDocuments(values: readonly unknown[], lines: LineIndex): YamlText {
  const documents: YamlDocument[] = [];
  const problems: YamlProblem[] = [];
  for (const [document, value] of values.entries()) {
    if (value === null || value === undefined) continue;
    const lineOf = (path: string): number | undefined => lines(document, path);
    const problem = checkValue(value as Json);
    if (problem === undefined) documents.push({ index: document, value: value as Json, lineOf });
    else problems.push({ ...problem, document, line: lineOf(problem.path) });
  }
  return { documents, problems };
}

/** The first value that no JSON text could hold, or that passes a bound once aliases are followed. */
function checkValue(
  root: Json,
): { code: 'TooLarge' | 'BadValue'; path: string; message: string } | undefined {
  let left = limits.manifestMaxValues;
  const visit = (value: Json, path: string, depth: number): ReturnType<typeof checkValue> => {
    if (--left < 0) {
      return {
        code: 'TooLarge',
        path: '',
        message: `more than ${limits.manifestMaxValues} values`,
      };
    }
    if (depth > limits.manifestMaxDepth) {
      return { code: 'TooLarge', path, message: `deeper than ${limits.manifestMaxDepth} levels` };
    }
    if (typeof value === 'number' && !Number.isFinite(value)) {
      return { code: 'BadValue', path, message: 'is not a finite number' };
    }
    if (typeof value === 'bigint' && (value > maxUint64 || value < minInt64)) {
      return { code: 'BadValue', path, message: 'is an integer of more than 64 bits' };
    }
    const children = isList(value)
      ? value.map((item, index): [string, Json] => [`${path}[${index}]`, item])
      : isJsonObject(value)
        ? Object.entries(value).map(([name, item]): [string, Json] => [joinPath(path, name), item])
        : [];
    if (isJsonObject(value) && Object.hasOwn(value, '__proto__')) {
      return { code: 'BadValue', path, message: 'has a key "__proto__"' };
    }
    for (const [childPath, child] of children) {
      const problem = visit(child, childPath, depth + 1);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };
  return visit(root, '', 0);
}

type LineIndex = (document: number, path: string) => number | undefined;

/** Where each field of each document starts. The work is done at the first question: most texts have no errors. */
function createLineIndex(events: readonly Event[], source: string): LineIndex {
  let offsets: Map<string, number>[] | undefined;
  let starts: number[] | undefined;
  return (document, path) => {
    offsets ??= locateFields(events, source);
    starts ??= lineStarts(source);
    let at: string | undefined = path;
    let offset = offsets[document]?.get(at);
    while (offset === undefined && at !== '') {
      at = at.replace(/(?:\[[^[\]]*\]|\.?[^.[\]]*)$/, '');
      offset = offsets[document]?.get(at);
    }
    return offset === undefined ? undefined : lineAt(starts, offset);
  };
}

function lineStarts(source: string): number[] {
  const starts = [0];
  for (let at = source.indexOf('\n'); at >= 0; at = source.indexOf('\n', at + 1)) {
    starts.push(at + 1);
  }
  return starts;
}

function lineAt(starts: readonly number[], offset: number): number {
  let [low, high] = [0, starts.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((starts[middle] as number) <= offset) low = middle;
    else high = middle;
  }
  return low + 1;
}

interface Open {
  readonly path: string;
  readonly kind: 'document' | 'list' | 'map';
  index: number;
  /** Within a map, the path of the value that comes next; undefined when a key comes next. */
  valuePath: string | undefined;
}

function locateFields(events: readonly Event[], source: string): Map<string, number>[] {
  const documents: Map<string, number>[] = [];
  const stack: Open[] = [];
  let current = new Map<string, number>();
  /** The path of the value that starts at `offset`; a map's key starts none. */
  const place = (offset: number, key: string | undefined): string | undefined => {
    const parent = stack.at(-1);
    if (parent === undefined) return undefined;
    if (parent.kind === 'map' && parent.valuePath === undefined) {
      parent.valuePath = joinPath(parent.path, key ?? '');
      if (!current.has(parent.valuePath)) current.set(parent.valuePath, offset);
      return undefined;
    }
    const path =
      parent.kind === 'list'
        ? `${parent.path}[${parent.index++}]`
        : parent.kind === 'map'
          ? (parent.valuePath as string)
          : '';
    if (parent.kind === 'map') parent.valuePath = undefined;
    if (!current.has(path)) current.set(path, offset);
    return path;
  };
  for (const event of events) {
    switch (event.type) {
      case EVENT_ID.DOCUMENT:
        current = new Map();
        documents.push(current);
        stack.push({ path: '', kind: 'document', index: 0, valuePath: undefined });
        break;
      case EVENT_ID.SEQUENCE:
      case EVENT_ID.MAPPING: {
        const path = place(event.start, undefined) ?? '';
        const kind = event.type === EVENT_ID.SEQUENCE ? 'list' : 'map';
        stack.push({ path, kind, index: 0, valuePath: undefined });
        break;
      }
      case EVENT_ID.SCALAR:
        place(event.valueStart, getScalarValue(source, event));
        break;
      case EVENT_ID.ALIAS:
        place(event.anchorStart, undefined);
        break;
      case EVENT_ID.POP:
        stack.pop();
        break;
    }
  }
  return documents;
}

/** Parses the one document of a text for callers that want a value or an error; findings are for manifests. */
export function parseYaml(input: string | Uint8Array, what: string): Json {
  const { documents, problems } = readYaml(input);
  const [problem] = problems;
  if (problem !== undefined) {
    const line = problem.line === undefined ? '' : `, line ${problem.line}`;
    const at = problem.path === '' ? '' : `, ${problem.path}`;
    throw new EtlError('ETL_INVALID_ARGUMENT', `${what}${at}${line}: ${problem.message}`);
  }
  const [document] = documents;
  if (document === undefined || documents.length > 1) {
    const count = documents.length;
    throw new EtlError('ETL_INVALID_ARGUMENT', `${what}: needs one document, not ${count}`);
  }
  return document.value;
}
