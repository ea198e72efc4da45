// A transform whose behaviour is a function of the record's payload, with dials for how it fails.

import {
  BatchBuilder,
  type RecordBatch,
  type RecordFailure,
  type Transform,
  type TransformCapabilities,
  type TransformResult,
} from '@etl-router/core';

/** What one record comes to: payloads of its outputs (none: filtered), or why it failed. */
export type MemoryMapping = (payload: string) => readonly string[] | Omit<RecordFailure, 'index'>;

export class MemoryTransform implements Transform {
  readonly capabilities: TransformCapabilities = { deterministic: true };
  readonly #name: string;
  readonly #map: MemoryMapping;
  readonly #before: ((batch: RecordBatch) => Promise<void> | void) | undefined;

  /** `before` runs first and may throw or wait; a transform that has one answers asynchronously when it waits. */
  constructor(
    name: string,
    map: MemoryMapping,
    before?: (batch: RecordBatch) => Promise<void> | void,
  ) {
    this.#name = name;
    this.#map = map;
    this.#before = before;
  }

  async open(): Promise<void> {}

  process(batch: RecordBatch): TransformResult | Promise<TransformResult> {
    const waiting = this.#before?.(batch);
    return waiting === undefined ? this.#apply(batch) : waiting.then(() => this.#apply(batch));
  }

  async close(): Promise<void> {}

  #apply(batch: RecordBatch): TransformResult {
    const builder = new BatchBuilder();
    const failures: RecordFailure[] = [];
    for (let index = 0; index < batch.count; index++) {
      const outputs = this.#map(batch.payload(index).toString());
      if ('code' in outputs) {
        failures.push({ index, ...outputs });
        continue;
      }
      const record = batch.record(index);
      for (const [ordinal, payload] of outputs.entries()) {
        const derivation =
          outputs.length > 1 ? `${record.derivation}.${this.#name}.${ordinal}` : record.derivation;
        const fields = { ...record, derivation, payload: Buffer.from(payload) };
        builder.append(fields, batch.sequence(index));
      }
    }
    const { lane, epoch, firstSequence, watermark } = batch.header;
    return { batch: builder.build({ lane, epoch, firstSequence, watermark }), failures };
  }
}
