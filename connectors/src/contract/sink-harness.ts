// What the sink contract and the crash tests write and read back: records whose place in their lane is part of their
// payload, so that the contents of a sink tell what is missing, doubled or out of order.

import {
  BatchBuilder,
  ManualClock,
  positionOfCount,
  type RecordBatch,
  type StageContext,
  seededRandom,
  silentLogger,
} from '@etl-router/core';

/** The payload of record `n` of a lane. */
export interface TestPayload {
  readonly lane: string;
  readonly n: number;
  readonly text: string;
}

/** Name of the pipeline and stage that tests run as. */
const pipeline = 'test/contract';

/** The payload that record `n` of a lane has. */
export function testPayload(lane: string, n: number): TestPayload {
  return { lane, n, text: `record ${n} of ${lane}, "quoted", and more` };
}

/** A batch of records `from` to `to` (inclusive) of a lane. */
export function testBatch(range: {
  readonly lane: string;
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
  /** Replaces the payload of some records. */
  readonly payloads?: ReadonlyMap<number, string>;
}): RecordBatch {
  const builder = new BatchBuilder();
  for (let n = range.from; n <= range.to; n++) {
    const payload = range.payloads?.get(n) ?? JSON.stringify(testPayload(range.lane, n));
    builder.append({
      position: positionOfCount(n),
      type: 'test',
      contentType: 'application/json',
      payload: Buffer.from(payload),
    });
  }
  return builder.build({
    lane: testLane(range.lane),
    epoch: range.epoch,
    firstSequence: range.from,
    watermark: undefined,
  });
}

/** The lane of that partition. */
export function testLane(partition: string): {
  readonly pipeline: string;
  readonly source: string;
  readonly partition: string;
} {
  return { pipeline, source: 'source', partition };
}

/** What a sink is opened with. */
export function testContext(
  baseDirectory: string,
  clock: StageContext['clock'] = new ManualClock(1_800_000_000_000),
): StageContext {
  return {
    pipeline,
    stage: 'sink',
    clock,
    random: seededRandom(1),
    logger: silentLogger,
    baseDirectory,
  };
}

/** What is wrong with contents that should hold records 1 to `counts` of each lane once. */
export interface Verdict {
  readonly missing: number;
  readonly duplicates: number;
  readonly reordered: number;
  readonly foreign: number;
}

/** Compares what a sink holds with what it should, as a multiset and, within each lane, in order. */
export function judge(
  contents: readonly TestPayload[],
  counts: ReadonlyMap<string, number>,
): Verdict {
  const seen = new Map<string, Set<number>>();
  const last = new Map<string, number>();
  let [duplicates, reordered, foreign] = [0, 0, 0];
  for (const { lane, n, text } of contents) {
    const count = counts.get(lane) ?? 0;
    if (n < 1 || n > count || text !== testPayload(lane, n).text) {
      foreign++;
      continue;
    }
    const numbers = seen.get(lane) ?? new Set<number>();
    seen.set(lane, numbers);
    if (numbers.has(n)) duplicates++;
    else if (n < (last.get(lane) ?? 0)) reordered++;
    numbers.add(n);
    last.set(lane, n);
  }
  let missing = 0;
  for (const [lane, count] of counts) missing += count - (seen.get(lane)?.size ?? 0);
  return { missing, duplicates, reordered, foreign };
}
