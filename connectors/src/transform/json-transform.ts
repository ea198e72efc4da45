// What the transforms of JSON payloads share: each record's payload is a map that one function keeps, changes, drops or
// fails. Identity, order and everything else of a record stay.

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

/** What becomes of one record: `undefined` drops it, the same map keeps it as it is. */
export type Step = (value: JsonMap, batch: RecordBatch, index: number) => JsonMap | undefined;

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

/** Applies a step to each record of a batch. */
export function applyStep(step: Step, batch: RecordBatch): TransformResult {
  const builder = new BatchBuilder(batch.byteLength + 1024);
  const failures: RecordFailure[] = [];
  for (let index = 0; index < batch.count; index++) {
    try {
      const value = batch.value(index);
      if (!isMap(value)) throw recordError('NOT_AN_OBJECT', 'the payload is no JSON object');
      const result = step(value, batch, index);
      if (result === value) builder.appendFrom(batch, index);
      else if (result !== undefined) builder.appendWithPayload(batch, index, stringifyJson(result));
    } catch (error) {
      failures.push({ index, ...toFailure(error), retryable: false });
    }
  }
  return { batch: builder.build({ ...batch.header }), failures };
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
