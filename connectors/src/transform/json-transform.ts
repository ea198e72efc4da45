// What the transforms of JSON payloads share: each record's payload is a map that one function keeps, changes, drops or
// fails. Identity, order and everything else of a record stay.

import { isUtf8 } from 'node:buffer';
import {
  BatchBuilder,
  EtlError,
  isEtlError,
  type RecordBatch,
  type RecordFailure,
  type StageContext,
  stringifyJson,
  type Transform,
  type TransformCapabilities,
  type TransformResult,
} from '@etl-router/core';
import { isMap, type JsonMap } from './path.ts';

/** What becomes of one record: `undefined` drops it, the same map keeps it as it is, {@link withHeader} also marks it. */
export type Step = (
  value: JsonMap,
  batch: RecordBatch,
  index: number,
) => JsonMap | Marked | undefined;

/** A payload whose record also gets a header. */
class Marked {
  readonly value: JsonMap;
  readonly name: string;
  readonly text: string;

  constructor(value: JsonMap, name: string, text: string) {
    this.value = value;
    this.name = name;
    this.text = text;
  }
}

/** The record with this payload and one more header; where it has one of that name, both texts, with a comma. */
export function withHeader(value: JsonMap, name: string, text: string): Marked {
  return new Marked(value, name, text);
}

/** A failure of one record. Thrown by a {@link Step}; never names the payload's contents. */
export function recordError(code: string, message: string): RecordError {
  return new RecordError(code, message);
}

/** See {@link recordError}. */
export class RecordError extends Error {
  override readonly name = 'RecordError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** A transform that is one function of a record's JSON payload. */
export class JsonTransform implements Transform {
  readonly capabilities: TransformCapabilities = { deterministic: true };
  readonly #open: (context: StageContext) => Promise<Step> | Step;
  #step: Step | undefined;

  /** `open` makes the function when the stage is opened. */
  constructor(open: (context: StageContext) => Promise<Step> | Step) {
    this.#open = open;
  }

  async open(context: StageContext): Promise<void> {
    this.#step = await this.#open(context);
  }

  process(batch: RecordBatch): TransformResult {
    return applyStep(this.#step as Step, batch);
  }

  async close(): Promise<void> {
    this.#step = undefined;
  }
}

/** Applies a step to each record of a batch. What it makes is kept as a value, so that the next stage need not parse it. */
export function applyStep(step: Step, batch: RecordBatch): TransformResult {
  const builder = new BatchBuilder(batch.byteLength + 1024);
  const failures: RecordFailure[] = [];
  for (let index = 0; index < batch.count; index++) {
    try {
      const value = readMap(batch, index);
      const result = step(value, batch, index);
      if (result === value) builder.appendFrom(batch, index);
      else if (result !== undefined) {
        assertText(batch.payload(index));
        assertFinite(result instanceof Marked ? result.value : result);
        if (result instanceof Marked) appendMarked(builder, result, { batch, index });
        else builder.appendWithValue(batch, index, result);
      }
    } catch (error) {
      failures.push({ index, ...toFailure(error), retryable: false });
    }
  }
  return { batch: builder.build({ ...batch.header }), failures };
}

function readMap(batch: RecordBatch, index: number): JsonMap {
  const contentType = batch.contentType(index);
  if (contentType !== 'application/json' && !isJson(contentType))
    throw recordError('NOT_JSON', `the payload is ${contentType.slice(0, 100)}, not JSON`);
  const value = batch.value(index);
  if (isMap(value)) return value;
  throw recordError('NOT_AN_OBJECT', 'the payload is no JSON object');
}

/** A record without a content type is taken for JSON: parsing it says more. */
function isJson(contentType: string): boolean {
  return contentType === '' || /^(application|text)\/([\w.-]+\+)?json\s*(;|$)/i.test(contentType);
}

/** What would be written differently than it was read must not be written. */
function assertText(payload: Buffer): void {
  if (!isUtf8(payload)) throw recordError('NOT_JSON', 'the payload is not valid UTF-8');
}

/** JSON has no word for numbers that no double holds, such as 1e400: they would be written as null. */
function assertFinite(value: unknown): void {
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return;
    throw recordError('NOT_FINITE', 'a number is too large for a double, or none');
  }
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) for (const item of value) assertFinite(item);
  else for (const name in value) assertFinite((value as JsonMap)[name]);
}

function appendMarked(
  builder: BatchBuilder,
  { value, name, text }: Marked,
  { batch, index }: { readonly batch: RecordBatch; readonly index: number },
): void {
  const record = batch.record(index);
  const before = record.headers.get(name);
  const headers = new Map(record.headers);
  headers.set(name, before === undefined ? text : `${before}, ${text}`);
  const payload = stringifyJson(value);
  builder.append({ ...record, headers, payload }, batch.sequence(index));
}

function toFailure(error: unknown): { readonly code: string; readonly message: string } {
  if (error instanceof RecordError) return { code: error.code, message: error.message };
  if (isEtlError(error) && error.code === 'ETL_RECORD_MALFORMED')
    return { code: 'NOT_JSON', message: error.message };
  if (error instanceof RangeError)
    return { code: 'TOO_DEEP', message: 'the payload is nested too deeply or is too large' };
  throw error instanceof EtlError
    ? error
    : new EtlError('ETL_INTERNAL', 'a transform failed', { cause: error });
}
