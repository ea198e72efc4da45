// Histories as files: JSON Lines, one operation each. A file is read strictly, because a history that is half
// understood proves nothing: whatever is unknown, missing or beyond a limit is an error that names file and line.

import { closeSync, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { EtlError } from '@etl-router/core';
import type { Operation, OperationName } from './operations.ts';

/** Bounds of a history. */
export const historyLimits = {
  fileBytes: 256 * 1024 * 1024,
  lineLength: 16 * 1024,
  operations: 500_000,
  textLength: 1024,
  positionLength: 512,
} as const;

/** The history in a file. Throws ETL_INVALID_ARGUMENT for one that is not as it should be. */
export function readHistory(file: string): readonly Operation[] {
  let handle: number;
  try {
    handle = openSync(file, 'r');
  } catch (cause) {
    throw new EtlError('ETL_NOT_FOUND', `${file} can not be opened: ${(cause as Error).message}`, {
      cause,
    });
  }
  try {
    const stat = fstatSync(handle);
    if (!stat.isFile()) throw malformed(file, 'is not a file');
    if (stat.size > historyLimits.fileBytes) {
      throw malformed(file, `is ${stat.size} bytes long and may be ${historyLimits.fileBytes}`);
    }
    return parseHistory(decodeText(readFileSync(handle), file), file);
  } finally {
    closeSync(handle);
  }
}

export function writeHistory(file: string, history: readonly Operation[]): void {
  writeFileSync(file, formatHistory(history));
}

/** The text of a history, in the order of calls. */
export function formatHistory(history: readonly Operation[]): string {
  const inOrder = history.toSorted((a, b) => a.callNs - b.callNs || a.id - b.id);
  return inOrder.map((operation) => `${formatOperation(operation)}\n`).join('');
}

/** The history in a text; `file` is what errors call it. */
export function parseHistory(text: string, file: string): readonly Operation[] {
  const lines = text.split('\n');
  const rest = lines.pop();
  if (rest !== '') throw malformed(`${file}:${lines.length + 1}`, 'is cut off');
  if (lines.length > historyLimits.operations) {
    throw malformed(
      file,
      `has ${lines.length} operations and may have ${historyLimits.operations}`,
    );
  }
  const seen = new Map<number, number>();
  return lines.map((line, at) => {
    const where = `${file}:${at + 1}`;
    const operation = parseOperation(line, where);
    const before = seen.get(operation.id);
    if (before !== undefined) {
      throw malformed(where, `id ${operation.id} is that of line ${before}`);
    }
    seen.set(operation.id, at + 1);
    return operation;
  });
}

function malformed(where: string, message: string): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', `${where}: ${message}`, { details: { where } });
}

type FieldType = 'text' | 'count' | 'position' | 'flag' | 'count?' | 'flag?';
type Fields = { readonly [field: string]: FieldType };

interface Shape {
  readonly in: Fields;
  readonly done: Fields;
  readonly errors?: { readonly [error: string]: Fields };
}

const seenFields: Fields = { version: 'count', spec: 'text' };
const laneFields: Fields = { epoch: 'count', position: 'position' };
const written: Fields = { version: 'count', changed: 'flag?' };
const versionConflict: Fields = { version: 'count' };

const shapes: { readonly [Name in OperationName]: Shape } = {
  create: {
    in: { name: 'text', spec: 'text' },
    done: written,
    errors: { conflict: versionConflict },
  },
  update: {
    in: { name: 'text', spec: 'text', ifVersion: 'count?' },
    done: written,
    errors: { conflict: versionConflict },
  },
  delete: {
    in: { name: 'text', ifVersion: 'count?' },
    done: {},
    errors: { conflict: versionConflict, notFound: {} },
  },
  get: { in: { name: 'text' }, done: seenFields, errors: { notFound: {} } },
  getStale: {
    in: { name: 'text' },
    done: { ...seenFields, revision: 'count?' },
    errors: { notFound: { revision: 'count?' } },
  },
  acquireEpoch: { in: { lane: 'text' }, done: laneFields },
  commitPosition: {
    in: { lane: 'text', epoch: 'count', position: 'position' },
    done: {},
    errors: { fenced: laneFields, conflict: laneFields, invalid: laneFields, notFound: {} },
  },
  getLane: { in: { lane: 'text' }, done: laneFields, errors: { notFound: {} } },
  commitGroupPosition: {
    in: { partition: 'text', generation: 'count', position: 'position' },
    done: {},
    errors: { conflict: { position: 'position' }, fenced: { generation: 'count?' } },
  },
  getGroupPosition: {
    in: { partition: 'text' },
    done: { position: 'position' },
    errors: { notFound: {} },
  },
  writeRegister: { in: { register: 'count', value: 'count' }, done: {} },
  swapRegister: {
    in: { register: 'count', expected: 'count', value: 'count' },
    done: { done: 'flag', value: 'count' },
  },
  readRegister: { in: { register: 'count' }, done: { value: 'count' } },
};

const lineFields = ['client', 'id', 'callNs', 'returnNs', 'op', 'in', 'out'] as const;

function formatOperation(operation: Operation): string {
  const { client, id, callNs, returnNs, op, out } = operation;
  return JSON.stringify({ client, id, callNs, returnNs, op, in: operation.in, out });
}

function parseOperation(line: string, where: string): Operation {
  if (line.length > historyLimits.lineLength) {
    throw malformed(
      where,
      `is ${line.length} characters long and may be ${historyLimits.lineLength}`,
    );
  }
  const value = objectOf(parseJson(line, where), where, 'the line');
  checkNames(value, where, lineFields);
  for (const field of lineFields) {
    if (!Object.hasOwn(value, field)) throw malformed(where, `${field} is missing`);
  }
  for (const field of ['client', 'id', 'callNs'] as const) {
    checkField({ [field]: value[field] }, field, 'count', where);
  }
  const { callNs, returnNs, op, out } = value;
  if (typeof op !== 'string' || !Object.hasOwn(shapes, op)) {
    throw malformed(
      where,
      `op must be one of ${Object.keys(shapes).join(', ')}, not ${JSON.stringify(op)}`,
    );
  }
  const shape = shapes[op as OperationName];
  checkFields(objectOf(value['in'], where, 'in'), shape.in, where);
  if ((returnNs === null) !== (out === null)) {
    throw malformed(
      where,
      'returnNs and out are both null where the outcome is not known, and neither where it is',
    );
  }
  if (returnNs !== null) {
    checkField({ returnNs }, 'returnNs', 'count', where);
    if ((returnNs as number) < (callNs as number)) {
      throw malformed(where, `returnNs ${returnNs as number} is before callNs ${callNs as number}`);
    }
    checkOut(objectOf(out, where, 'out'), shape, where);
  }
  return value as unknown as Operation;
}

function checkOut(out: { readonly [field: string]: unknown }, shape: Shape, where: string): void {
  const { error, ...rest } = out;
  if (error === undefined) {
    checkFields(rest, shape.done, where);
    return;
  }
  const errors: { readonly [error: string]: Fields } = { refused: {}, ...shape.errors };
  if (typeof error !== 'string' || !Object.hasOwn(errors, error)) {
    throw malformed(
      where,
      `error must be one of ${Object.keys(errors).join(', ')}, not ${JSON.stringify(error)}`,
    );
  }
  checkFields(rest, errors[error] as Fields, where);
}

function checkFields(
  value: { readonly [field: string]: unknown },
  fields: Fields,
  where: string,
): void {
  checkNames(value, where, Object.keys(fields));
  for (const [name, type] of Object.entries(fields)) checkField(value, name, type, where);
}

function checkNames(value: object, where: string, known: readonly string[]): void {
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const may = known.length === 0 ? 'nothing is known here' : `known are ${known.join(', ')}`;
  throw malformed(where, `${unknown} is not a known field; ${may}`);
}

function checkField(
  object: { readonly [field: string]: unknown },
  name: string,
  type: FieldType,
  where: string,
): void {
  const value = object[name];
  if (value === undefined) {
    if (type.endsWith('?')) return;
    throw malformed(where, `${name} is missing`);
  }
  const complaint = complaintAbout(value, type);
  if (complaint !== undefined) throw malformed(where, `${name} ${complaint}`);
}

function complaintAbout(value: unknown, type: FieldType): string | undefined {
  const { textLength, positionLength } = historyLimits;
  switch (type) {
    case 'text':
      return typeof value === 'string' && value.length > 0 && value.length <= textLength
        ? undefined
        : `must be a text of 1 to ${textLength} characters`;
    case 'position':
      return typeof value === 'string' &&
        value.length <= positionLength &&
        /^([0-9a-f]{2})*$/.test(value)
        ? undefined
        : `must be bytes in lower-case hex, at most ${positionLength} digits`;
    case 'count':
    case 'count?':
      return Number.isSafeInteger(value) && (value as number) >= 0
        ? undefined
        : 'must be a whole number from 0 to 2^53 - 1';
    case 'flag':
    case 'flag?':
      return typeof value === 'boolean' ? undefined : 'must be true or false';
  }
}

function decodeText(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw malformed(file, 'is not UTF-8');
  }
}

function parseJson(line: string, where: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw malformed(where, `is not JSON: ${(cause as Error).message}`);
  }
}

function objectOf(
  value: unknown,
  where: string,
  what: string,
): { readonly [field: string]: unknown } {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as { readonly [field: string]: unknown };
  }
  throw malformed(where, `${what} must be an object`);
}
