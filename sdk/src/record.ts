// A record as user code sees it. It never changes: `with…` gives another one. Where a record was found and what it was made
// of is not for user code to set, so none of that is here but to read.

import {
  type Record as CoreRecord,
  EtlError,
  parseJson,
  type RecordBatch,
  recordId,
  stringifyJson,
  timestampOfMs,
  timestampToMs,
} from '@etl-router/core';

const jsonType = 'application/json';
const textType = 'text/plain; charset=utf-8';
/** Throws on what is not UTF-8, where Buffer's own decoder would put replacement characters. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What the next stages see of a record beside its payload; what is left out stays as it was. */
export interface RecordChange {
  /** What happened, such as `io.example.order.v1`. */
  readonly type?: string;
  /** What it is about; text is taken as UTF-8. */
  readonly key?: string | Uint8Array;
  /** All headers it is to have. */
  readonly headers?: { readonly [name: string]: string } | ReadonlyMap<string, string>;
  /** When it happened. */
  readonly eventTime?: Date;
  /** Media type of the payload. */
  readonly contentType?: string;
  readonly payload?: Uint8Array;
}

/** One record. Immutable. */
export class EtlRecord {
  readonly #record: CoreRecord;
  /** The same for every replay of the record: what a store may overwrite by. */
  readonly id: string;
  #value: { readonly of: unknown } | undefined;

  /** User code gets records; it makes them of others by `with…`, and never needs this. */
  constructor(record: CoreRecord, id: string) {
    this.#record = record;
    this.id = id;
  }

  /** What happened, such as `io.example.order.v1`; empty where the source did not say. */
  get type(): string {
    return this.#record.type;
  }

  /** What it is about; empty where the source did not say. Equal keys keep their order within a lane. */
  get key(): Uint8Array {
    return this.#record.key;
  }

  /** Attributes, such as `traceparent`. */
  get headers(): ReadonlyMap<string, string> {
    return this.#record.headers;
  }

  /** When it happened by the source's clock, to the millisecond. */
  get eventTime(): Date | undefined {
    const { eventTime } = this.#record;
    return eventTime === undefined ? undefined : new Date(timestampToMs(eventTime));
  }

  /** Media type of the payload, such as `application/json`. */
  get contentType(): string {
    return this.#record.contentType;
  }

  /** The record itself. Never write to it. */
  get payload(): Uint8Array {
    return this.#record.payload;
  }

  /** Where the source found it: byte order is the order within the lane. */
  get position(): Uint8Array {
    return this.#record.position;
  }

  /**
   * The payload as JSON. Integers beyond 2^53 - 1 come as bigint, exactly. Never modify what it returns: spread it.
   * Throws ETL_RECORD_MALFORMED when it is not JSON; not caught, that fails this record alone.
   */
  // oxlint-disable-next-line typescript/no-explicit-any -- like JSON.parse: the caller knows what it reads
  json<Value = any>(): Value {
    this.#value ??= { of: parseJson(toBuffer(this.payload)) };
    return this.#value.of as Value;
  }

  /** The payload as text. Throws ETL_RECORD_MALFORMED when it is not UTF-8. */
  text(): string {
    try {
      return utf8.decode(this.payload);
    } catch (cause) {
      throw new EtlError('ETL_RECORD_MALFORMED', 'the payload is not UTF-8', { cause });
    }
  }

  /** The key as text. Throws ETL_RECORD_MALFORMED when it is not UTF-8. */
  keyText(): string {
    try {
      return utf8.decode(this.key);
    } catch (cause) {
      throw new EtlError('ETL_RECORD_MALFORMED', 'the key is not UTF-8', { cause });
    }
  }

  /** The record with other parts. */
  with(change: RecordChange): EtlRecord {
    return new EtlRecord({ ...this.#record, ...toFields(change) }, this.id);
  }

  /** The record with `value` as its payload, in JSON; bigints become exact integers. */
  withJson(value: unknown): EtlRecord {
    return this.with({ contentType: jsonType, payload: stringifyJson(value) });
  }

  /** The record with `text` as its payload. */
  withText(text: string): EtlRecord {
    return this.with({ contentType: textType, payload: Buffer.from(text) });
  }

  /** The record with one more header, or another value of one. */
  withHeader(name: string, value: string): EtlRecord {
    return this.with({ headers: new Map(this.headers).set(name, value) });
  }

  /** What goes on the wire. */
  toFields(): CoreRecord {
    return this.#record;
  }
}

/** All records of a batch. */
export function recordsOf(batch: RecordBatch): EtlRecord[] {
  return Array.from({ length: batch.count }, (_, index) => {
    const record = batch.record(index);
    return new EtlRecord(record, recordId(batch.lane, record));
  });
}

/** The fields of the wire that a change sets. */
export function toFields(change: RecordChange): Partial<CoreRecord> {
  const { type, key, headers, eventTime, contentType, payload } = change;
  return {
    ...(type === undefined ? {} : { type }),
    ...(key === undefined ? {} : { key: typeof key === 'string' ? Buffer.from(key) : key }),
    ...(headers === undefined ? {} : { headers: toHeaders(headers) }),
    ...(eventTime === undefined ? {} : { eventTime: timestampOfMs(eventTime.getTime()) }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(payload === undefined ? {} : { payload }),
  };
}

function toHeaders(headers: NonNullable<RecordChange['headers']>): ReadonlyMap<string, string> {
  return headers instanceof Map
    ? (headers as ReadonlyMap<string, string>)
    : new Map(Object.entries(headers as { readonly [name: string]: string }));
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
