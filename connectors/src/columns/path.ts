// Where a column takes its value from: a field of the JSON payload, or a property of the record itself.

import { EtlError, type RecordBatch, type Timestamp } from '@etl-router/core';

/** Reads a column's value off record `index`; `value` is its payload, known to be a JSON object. */
export type ValueReader = (batch: RecordBatch, index: number, value: PayloadObject) => unknown;

/** A parsed JSON object. */
export interface PayloadObject {
  readonly [field: string]: unknown;
}

/** The forms of a path, for messages and documentation. */
export const pathForms =
  'data.FIELD (nested: data.A.B), id, type, key, source, partition, position, eventTime, ingestTime, contentType or headers.NAME';

/** The reader of the payload's field `name`, dots included. */
export function readField(name: string): ValueReader {
  return isInherited(name)
    ? (_batch, _index, value) => (Object.hasOwn(value, name) ? value[name] : undefined)
    : (_batch, _index, value) => value[name];
}

/** The reader that a path stands for. Throws ETL_CONFIG_INVALID that names `field` for any other text. */
export function parseValuePath(path: string, field: string): ValueReader {
  if (path.startsWith('data.')) return readNested(path.slice(5).split('.'), path, field);
  if (path.startsWith('headers.') && path.length > 8) {
    const name = path.slice(8);
    return (batch, index) => batch.headerValue(index, name);
  }
  const reader = recordReaders.get(path);
  if (reader !== undefined) return reader;
  throw invalidPath(path, field);
}

/** The top-level field a path reads, so that it does not count as a new field; undefined when it reads none. */
export function fieldOfPath(path: string): string | undefined {
  return path.startsWith('data.') ? path.slice(5).split('.', 1)[0] : undefined;
}

function invalidPath(path: string, field: string): EtlError {
  return new EtlError(
    'ETL_CONFIG_INVALID',
    `${field}: "${path.slice(0, 100)}" is not a path; use ${pathForms}`,
    { details: { field } },
  );
}

function readNested(names: readonly string[], path: string, field: string): ValueReader {
  if (names.some((name) => name === '')) throw invalidPath(path, field);
  const [only] = names;
  if (names.length === 1 && only !== undefined) return readField(only);
  return (_batch, _index, value) => {
    let current: unknown = value;
    for (const name of names) {
      if (typeof current !== 'object' || current === null || !Object.hasOwn(current, name)) {
        return undefined;
      }
      current = (current as PayloadObject)[name];
    }
    return current;
  };
}

const recordReaders: ReadonlyMap<string, ValueReader> = new Map<string, ValueReader>([
  ['id', (batch, index) => batch.id(index)],
  ['type', (batch, index) => batch.type(index)],
  ['key', (batch, index) => textOrBase64(batch.key(index))],
  ['source', (batch) => batch.lane.source],
  ['partition', (batch) => batch.lane.partition],
  ['position', (batch, index) => batch.position(index).toString('hex')],
  ['eventTime', (batch, index) => instantText(batch.eventTime(index))],
  ['ingestTime', (batch, index) => instantText(batch.record(index).ingestTime)],
  ['contentType', (batch, index) => batch.contentType(index)],
]);

/** UTF-8 bytes as text, any others as base64, so that no key is altered. */
export function textOrBase64(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  return text.includes('\ufffd') && !Buffer.from(text).equals(bytes)
    ? bytes.toString('base64')
    : text;
}

/** A timestamp in RFC 3339 with as many digits as it has. */
export function instantText(time: Timestamp | undefined): string | undefined {
  if (time === undefined) return undefined;
  const text = new Date(time.seconds * 1000).toISOString().slice(0, 19);
  if (time.nanos === 0) return `${text}Z`;
  const digits = String(time.nanos).padStart(9, '0');
  return `${text}.${digits.endsWith('000000') ? digits.slice(0, 3) : digits.endsWith('000') ? digits.slice(0, 6) : digits}Z`;
}

/** Names that every object answers to without holding them. */
function isInherited(name: string): boolean {
  return name in {};
}
