// What an expression sees of a record. Every field is read off the batch when the expression asks for it and not
// before: a condition on the type never touches the payload. One view serves one program; it is moved, not copied.

import { type RecordBatch, timestampToMs } from '@etl-router/core';

/** Fields of `record`, with their CEL types. */
export const recordFields: { readonly [field: string]: string } = {
  id: 'string',
  type: 'string',
  key: 'string',
  headers: 'map<string, string>',
  eventTime: 'google.protobuf.Timestamp',
  source: 'string',
  partition: 'string',
  data: 'dyn',
};

/** `record` of the expression language. Its getters have the names of {@link recordFields}. */
export class RecordView {
  #batch: RecordBatch | undefined;
  #index = 0;

  /** Shows record `index` of `batch` from here on. */
  moveTo(batch: RecordBatch, index: number): void {
    this.#batch = batch;
    this.#index = index;
  }

  /** Lets go of the batch. */
  clear(): void {
    this.#batch = undefined;
  }

  get id(): string {
    return this.#current.id(this.#index);
  }

  get type(): string {
    return this.#current.type(this.#index);
  }

  get key(): string {
    return this.#current.key(this.#index).toString();
  }

  get headers(): ReadonlyMap<string, string> {
    return this.#current.headers(this.#index);
  }

  /** Undefined when the record has none: then the field does not exist. Milliseconds are kept, what is finer is not. */
  get eventTime(): Date | undefined {
    const time = this.#current.eventTime(this.#index);
    return time === undefined ? undefined : new Date(timestampToMs(time));
  }

  get source(): string {
    return this.#current.lane.source;
  }

  get partition(): string {
    return this.#current.lane.partition;
  }

  get data(): unknown {
    return readData(this.#current, this.#index);
  }

  get #current(): RecordBatch {
    return this.#batch as RecordBatch;
  }
}

/** Below this depth a payload is copied rather than looked through. */
const lookDepth = 16;

/**
 * The payload as the CEL library takes it. The library tells kinds of objects apart by `constructor`, so objects with
 * a field of that name are given as Maps.
 */
function readData(batch: RecordBatch, index: number): unknown {
  const value = batch.value(index);
  return mayHoldConstructor(value, lookDepth) ? withoutConstructors(value) : value;
}

function mayHoldConstructor(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (depth === 0 || Object.hasOwn(value, 'constructor')) return true;
  for (const name in value) {
    const member = (value as { readonly [name: string]: unknown })[name];
    if (typeof member === 'object' && mayHoldConstructor(member, depth - 1)) return true;
  }
  return false;
}

function withoutConstructors(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutConstructors);
  const entries = Object.entries(value).map(([name, member]): [string, unknown] => [
    name,
    withoutConstructors(member),
  ]);
  return Object.hasOwn(value, 'constructor') ? new Map(entries) : Object.fromEntries(entries);
}
