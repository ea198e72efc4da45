// The record codec against the generated code of @bufbuild/protobuf, on the same bytes, in one process. Results are
// compared before anything is timed. Time is the process's CPU time, garbage collector's threads included, because
// the machine may be shared.
// Neither side copies the message it reads: bytes fields are views of it.
//   decode   all fields of all records as JavaScript values, kept until the batch is done
//   peek     index the batch, read every record's type; the other side can only decode it all
//   forward  index, keep a random half by copying spans, make one message of it; the other: decode, filter, encode
//   encode   a batch message out of records as each side holds them

import assert from 'node:assert/strict';
import process from 'node:process';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { BatchBuilder, type Record, RecordBatch, seededRandom } from '@etl-router/core';
import { type RecordBatch as MessageBatch, RecordBatchSchema } from '@etl-router/proto';
import { type Bench, type BenchOptions, type BenchResult, takeTurns } from './lib/bench.ts';
import { header, makeBatch, makeRecords } from './lib/records.ts';
import { formatTable } from './lib/report.ts';
import { ratioOfRounds, rounded, summarize } from './lib/statistics.ts';

const recordsPerBatch = 500;
const distinctBatches = 8;

/** One batch in every form that a contender starts from. */
interface Sample {
  readonly seed: number;
  /** As ours decodes it. */
  readonly records: readonly Record[];
  /** The message as Buffer, and as the plain Uint8Array that generated code likes best. */
  readonly message: Buffer;
  readonly plain: Uint8Array;
  /** As theirs decodes it. */
  readonly decoded: MessageBatch;
  /** True for the half that is forwarded. */
  readonly kept: readonly boolean[];
  readonly keptIndexes: Uint32Array;
}

/** What both sides do with a sample. Returns something of the result, so that no work can be left out. */
type Work = (sample: Sample) => number;

interface Operation {
  readonly ours: Work;
  readonly theirs: Work;
  readonly required?: number;
}

const operations: { readonly [name: string]: Operation } = {
  decode: {
    ours: ({ message }) => decodeAll(message).length,
    theirs: ({ plain }) => fromBinary(RecordBatchSchema, plain).records.length,
    required: 1.5,
  },
  peek: {
    ours: ({ message }) => peekAll(RecordBatch.adopt(message)),
    theirs: ({ plain }) => peekDecoded(fromBinary(RecordBatchSchema, plain)),
    required: 10,
  },
  forward: {
    ours: ({ message, keptIndexes }) => forward(message, keptIndexes).length,
    theirs: ({ plain, kept }) => forwardDecoded(plain, kept).length,
    required: 10,
  },
  encode: {
    ours: ({ records }) => encode(records).length,
    theirs: ({ decoded }) => toBinary(RecordBatchSchema, decoded).length,
  },
};

function decodeAll(message: Buffer): Record[] {
  const batch = RecordBatch.adopt(message);
  const records: Record[] = [];
  for (let index = 0; index < batch.count; index++) records.push(batch.record(index));
  return records;
}

function peekAll(batch: RecordBatch): number {
  let total = 0;
  for (let index = 0; index < batch.count; index++) total += batch.type(index).length;
  return total;
}

function peekDecoded(batch: MessageBatch): number {
  let total = 0;
  for (const record of batch.records) total += record.type.length;
  return total;
}

function forward(message: Buffer, indexes: Uint32Array): Buffer {
  return RecordBatch.adopt(message).select(indexes).toBytes();
}

function forwardDecoded(plain: Uint8Array, kept: readonly boolean[]): Uint8Array {
  const batch = fromBinary(RecordBatchSchema, plain);
  const sequenceOffsets: number[] = [];
  batch.records = batch.records.filter((_record, index) => {
    if (kept[index] !== true) return false;
    sequenceOffsets.push(index);
    return true;
  });
  batch.sequenceOffsets = sequenceOffsets;
  return toBinary(RecordBatchSchema, batch);
}

const builder = new BatchBuilder();

function encode(records: readonly Record[]): Buffer {
  for (const record of records) builder.append(record);
  return builder.build(header).toBytes();
}

function makeSample(seed: number): Sample {
  const records = makeRecords(recordsPerBatch, seed);
  const message = makeBatch(records).toBytes();
  const plain = new Uint8Array(message);
  const random = seededRandom(seed);
  const kept = records.map(() => random.below(2) === 1);
  const indexes = kept.flatMap((keep, index) => (keep ? [index] : []));
  return {
    seed,
    records: decodeAll(message),
    message,
    plain,
    decoded: fromBinary(RecordBatchSchema, plain),
    kept,
    keptIndexes: Uint32Array.from(indexes),
  };
}

/** Both sides must make the same of the same bytes, or their times mean nothing. */
function compareResults(sample: Sample): void {
  const records = decodeAll(sample.message);
  assert.deepEqual(records.map(toComparable), sample.decoded.records.map(messageToComparable));
  assert.deepEqual(
    records.map(toComparable),
    makeRecords(recordsPerBatch, sample.seed).map(toComparable),
  );
  const bytes = encode(sample.records);
  assert.ok(bytes.equals(toBinary(RecordBatchSchema, sample.decoded)), 'encoded bytes differ');
  assert.ok(
    forward(sample.message, sample.keptIndexes).equals(forwardDecoded(sample.plain, sample.kept)),
    'forwarded bytes differ',
  );
  assert.equal(peekAll(RecordBatch.adopt(sample.message)), peekDecoded(sample.decoded));
}

function toComparable(record: Record): unknown {
  return {
    ...record,
    position: hex(record.position),
    key: hex(record.key),
    payload: hex(record.payload),
    headers: Object.fromEntries(record.headers),
  };
}

function messageToComparable(record: MessageBatch['records'][number]): unknown {
  const { $typeName: _, eventTime, ingestTime, ...fields } = record;
  return {
    ...fields,
    position: hex(record.position),
    key: hex(record.key),
    payload: hex(record.payload),
    eventTime: eventTime && { seconds: Number(eventTime.seconds), nanos: eventTime.nanos },
    ingestTime: ingestTime && { seconds: Number(ingestTime.seconds), nanos: ingestTime.nanos },
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** CPU microseconds per record of `passes` passes over the samples. */
function timed(work: Work, samples: readonly Sample[], passes: number): number {
  globalThis.gc?.();
  const start = process.cpuUsage();
  let total = 0;
  for (let pass = 0; pass < passes; pass++) {
    for (const sample of samples) total += work(sample);
  }
  assert.ok(total > 0);
  const used = process.cpuUsage(start);
  return (used.user + used.system) / (passes * samples.length * recordsPerBatch);
}

/** Passes that take about `targetMs` of CPU time. */
function passesFor(work: Work, samples: readonly Sample[], targetMs: number): number {
  for (let pass = 0; pass < 3; pass++) timed(work, samples, 1);
  const usPerPass = timed(work, samples, 4) * samples.length * recordsPerBatch;
  return Math.max(1, Math.round((targetMs * 1000) / usPerPass));
}

async function run({ rounds, quick }: BenchOptions): Promise<BenchResult> {
  const samples = Array.from({ length: distinctBatches }, (_, index) => makeSample(index + 1));
  samples.forEach(compareResults);
  const contenders = new Map<string, () => number>();
  for (const [name, operation] of Object.entries(operations)) {
    for (const side of ['ours', 'theirs'] as const) {
      const work = operation[side];
      const passes = passesFor(work, samples, quick ? 20 : 300);
      contenders.set(`${name} ${side}`, () => timed(work, samples, passes));
    }
  }
  const raw = await takeTurns(contenders, rounds);
  const seriesOf = (name: string): number[] => raw.get(name) as number[];
  const rows = Object.keys(operations).flatMap((name) =>
    (['ours', 'theirs'] as const).map((side) => {
      const { median, min, max } = summarize(seriesOf(`${name} ${side}`));
      return [
        `${name}, ${side === 'ours' ? 'ETL Router' : '@bufbuild/protobuf'}`,
        median.toFixed(3),
        `${min.toFixed(3)} - ${max.toFixed(3)}`,
        String(Math.round(1000 / median)),
      ];
    }),
  );
  const [sample] = samples as [Sample];
  return {
    text: [
      formatTable([['', 'CPU us/record', 'min - max', 'krecords/s'], ...rows]),
      '',
      `${recordsPerBatch} records of ${Math.round(sample.message.length / recordsPerBatch)} bytes a batch, ${distinctBatches} batches; results compared before timing.`,
      'decode makes every field: byte views, strings, a Map (theirs: an object) of headers, both timestamps.',
      'encode starts from the records as each side decodes them; theirs has its messages ready made.',
    ].join('\n'),
    ratios: Object.entries(operations).map(([name, { required }]) => ({
      name,
      value: ratioOfRounds(seriesOf(`${name} theirs`), seriesOf(`${name} ours`)),
      ...(required === undefined ? {} : { required }),
    })),
    raw: Object.fromEntries(
      Array.from(raw, ([name, values]) => [`${name} us/record`, values.map((v) => rounded(v, 4))]),
    ),
    settings: { recordsPerBatch, distinctBatches, messageBytes: sample.message.length },
  };
}

export const bench: Bench = {
  about: 'decode, peek, forward and encode batches against @bufbuild/protobuf',
  rounds: 9,
  run,
};
