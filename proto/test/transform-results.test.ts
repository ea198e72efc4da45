// The results of a transform service: what core's transform made survives them, and an answer that does not fit its
// question fails as a whole.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  BatchBuilder,
  type Record,
  type RecordBatch,
  type RecordFailure,
  type TransformResult,
} from '@etl-router/core';
import { fromTransformResult, type RawRecordResult, toTransformResult } from '@etl-router/proto';
import { type Raw, rawSchema } from '@etl-router/proto/grpc';
import {
  ProcessBatchResponseSchema,
  type RecordResult,
  RecordStatus,
} from '@etl-router/proto/transform';
import fc from 'fast-check';
import { plain, record } from './support/records.ts';

const header = {
  lane: { pipeline: 'shop/orders', source: 'db', partition: '0' },
  epoch: 3,
  firstSequence: 100,
  watermark: undefined,
};

function batchOf(records: readonly Record[], sequences?: readonly number[]): RecordBatch {
  const builder = new BatchBuilder(64);
  records.forEach((each, index) => builder.append(each, sequences?.[index]));
  return builder.build(header);
}

const schema = rawSchema(ProcessBatchResponseSchema);

/** The results as they come out of a message on the other side. */
function overTheWire(results: readonly RawRecordResult[]): Raw<RecordResult>[] {
  const message = create(schema, { results: [...results] });
  return fromBinary(schema, toBinary(schema, message)).results as Raw<RecordResult>[];
}

type Fate = 'same' | 'changed' | 'filtered' | 'failed' | 'split';

/** What core's transform named `enrich` makes of a batch when each record meets its fate. */
function resultOf(batch: RecordBatch, fates: readonly Fate[]): TransformResult {
  const builder = new BatchBuilder(64);
  const failures: RecordFailure[] = [];
  fates.forEach((fate, index) => {
    const input = batch.record(index);
    const sequence = batch.sequence(index);
    if (fate === 'same') builder.appendFrom(batch, index);
    if (fate === 'changed') builder.append({ ...input, payload: Buffer.from('changed') }, sequence);
    if (fate === 'failed') failures.push({ index, code: 'BAD', message: 'no', retryable: false });
    if (fate !== 'split') return;
    for (const ordinal of [0, 1, 2]) {
      const derivation = `${input.derivation}.enrich.${ordinal}`;
      builder.append({ ...input, derivation, type: `part${ordinal}` }, sequence);
    }
  });
  return { batch: builder.build(header), failures };
}

const fate = fc.constantFrom<Fate>('same', 'changed', 'filtered', 'failed', 'split');

test('what a transform made of a batch survives the results of its service', () => {
  const derived = fc
    .tuple(record, fc.constantFrom('', '.a.0', '.a.1', '.a.10'))
    .map(([each, derivation]) => ({ ...each, derivation }));
  fc.assert(
    fc.property(fc.array(fc.tuple(derived, fate), { maxLength: 6 }), (plan) => {
      const batch = batchOf(plan.map(([each]) => each));
      const made = resultOf(
        batch,
        plan.map(([, each]) => each),
      );
      const again = toTransformResult(
        batch,
        overTheWire(fromTransformResult(batch, made)),
        'enrich',
      );
      assert.deepEqual(again.failures, made.failures);
      assert.deepEqual(again.batch.lane, batch.lane);
      assert.equal(again.batch.epoch, batch.epoch);
      const contents = (each: RecordBatch): unknown[] =>
        Array.from({ length: each.count }, (_, index) => [
          each.sequence(index),
          plain(each.record(index)),
        ]);
      assert.deepEqual(contents(again.batch), contents(made.batch));
    }),
    { numRuns: 200 },
  );
});

test('records that share a sequence keep their own outputs', () => {
  const [a, b] = ['.a.0', '.a.1'].map((derivation) => ({ ...empty, derivation })) as [
    Record,
    Record,
  ];
  const batch = batchOf([a, b], [7, 7]);
  const results = fromTransformResult(batch, resultOf(batch, ['filtered', 'split']));
  assert.deepEqual(
    results.map(({ status, outputs }) => [status, outputs?.length ?? 0]),
    [
      [RecordStatus.FILTERED, 0],
      [RecordStatus.SPLIT, 3],
    ],
  );
});

const empty: Record = {
  position: Buffer.of(1),
  derivation: '',
  originId: '',
  type: 't',
  key: Buffer.alloc(0),
  headers: new Map(),
  eventTime: { seconds: 5, nanos: 0 },
  ingestTime: { seconds: 6, nanos: 0 },
  contentType: '',
  payload: Buffer.from('{}'),
};

test('identity and ingest time come from the input, whatever the service wrote', () => {
  const batch = batchOf([{ ...empty, originId: 'origin', derivation: '.x.1' }]);
  const forged = batchOf([
    {
      ...empty,
      position: Buffer.of(9),
      originId: 'forged',
      derivation: '.f',
      eventTime: undefined,
      ingestTime: undefined,
      type: 'new',
    },
  ]);
  const outputs = [forged.bytes.subarray(forged.spans[0])];
  const { batch: made } = toTransformResult(
    batch,
    overTheWire([{ status: RecordStatus.OK, outputs }]),
    'enrich',
  );
  const input = batch.record(0);
  assert.deepEqual(plain(made.record(0)), plain({ ...input, type: 'new' }));
  const { batch: split } = toTransformResult(
    batch,
    overTheWire([{ status: RecordStatus.SPLIT, outputs: [...outputs, ...outputs] }]),
    'enrich',
  );
  assert.deepEqual([split.derivation(0), split.derivation(1)], ['.x.1.enrich.0', '.x.1.enrich.1']);
});

test('an answer with too many or too few results, or one that contradicts itself, fails as a whole', () => {
  const batch = batchOf([empty]);
  const output = batch.bytes.subarray(batch.spans[0]);
  const answers: RawRecordResult[][] = [
    [],
    [{ status: RecordStatus.OK }, { status: RecordStatus.OK }],
    [{ status: RecordStatus.UNSPECIFIED }],
    [{ status: 99 as RecordStatus }],
    [{ status: RecordStatus.OK, outputs: [output, output] }],
    [{ status: RecordStatus.FILTERED, outputs: [output] }],
    [{ status: RecordStatus.ERROR, outputs: [output] }],
    [{ status: RecordStatus.SPLIT }],
  ];
  for (const results of answers) {
    assert.throws(() => toTransformResult(batch, overTheWire(results), 'enrich'), {
      code: 'ETL_CONNECTOR_FAILED',
      retryable: false,
    });
  }
  const malformed = [{ status: RecordStatus.OK, outputs: [Buffer.of(0x0a, 0x7f)] }];
  assert.throws(() => toTransformResult(batch, overTheWire(malformed), 'enrich'), {
    code: 'ETL_INVALID_ARGUMENT',
  });
});
