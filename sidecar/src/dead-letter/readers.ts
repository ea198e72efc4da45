// Dead letters as lanes. What is sent again travels from the stage it failed at, in a lane of its own, partition
// `~redrive/<stage>`, with positions that count up; what a dead-letter sink gets travels in `~dead-letters`. So they
// are retried, resolved and committed like everything else, and a crash repeats no more than it does elsewhere.

import {
  BatchBuilder,
  countOfPosition,
  EtlError,
  type PartitionReader,
  positionOfCount,
  type ReadResult,
  type Record,
} from '@etl-router/core';
import type { DeadLetter, DeadLetterQueue, DeadLetterStore, RedriveLane } from './store.ts';

/** Partition of the lane that sends dead letters of a stage again. */
export function redrivePartition(stage: string): string {
  return `~redrive/${stage}`;
}

/** Partition of the lane that feeds a dead-letter sink. */
export const deadLetterPartition = '~dead-letters';

/** Reads what is queued to be sent again; what is resolved leaves the store. */
export function createRedriveReader(
  store: DeadLetterStore,
  lane: RedriveLane & { readonly pipelineId: string; readonly beforeRemove: () => void },
  after: Uint8Array | undefined,
): PartitionReader {
  return createReader(store.redriveQueue(lane.pipelineId, lane), {
    after,
    numberOf: ({ redrive }) => redrive as number,
    recordOf: ({ id, batch }) => ({ ...batch.record(0), derivation: '', originId: id }),
    async acknowledge(number) {
      lane.beforeRemove();
      await store.removeRedriven(lane.pipelineId, lane, number);
    },
  });
}

/** Reads every dead letter of a pipeline for its dead-letter sink, with what went wrong in the headers. */
export function createDeadLetterReader(
  store: DeadLetterStore,
  pipelineId: string,
  after: Uint8Array | undefined,
): PartitionReader {
  return createReader(store.queue(pipelineId), {
    after,
    numberOf: ({ ordinal }) => ordinal,
    recordOf: describeLetter,
    acknowledge: () => Promise.resolve(),
  });
}

/** The original record, and why it failed as headers that begin with `etl-`. */
function describeLetter(letter: DeadLetter): Record {
  const record = letter.batch.record(0);
  const headers = new Map(record.headers);
  const facts: readonly (readonly [string, string])[] = [
    ['etl-id', letter.id],
    ['etl-pipeline', letter.pipelineId],
    ['etl-pipeline-version', String(letter.pipelineVersion)],
    ['etl-source', letter.source],
    ['etl-partition', letter.partition],
    ['etl-stage', letter.stage],
    ['etl-stage-kind', letter.stageKind],
    ['etl-error-code', letter.code],
    ['etl-error-message', letter.message],
    ['etl-attempts', String(letter.attempts)],
    ['etl-first-failure', new Date(letter.firstFailureMs).toISOString()],
    ['etl-last-failure', new Date(letter.lastFailureMs).toISOString()],
  ];
  for (const [name, value] of facts) headers.set(name, value);
  return { ...record, headers, derivation: '', originId: letter.id };
}

function createReader(
  queue: DeadLetterQueue,
  options: {
    readonly after: Uint8Array | undefined;
    readonly numberOf: (letter: DeadLetter) => number;
    readonly recordOf: (letter: DeadLetter) => Record;
    readonly acknowledge: (number: number) => Promise<void>;
  },
): PartitionReader {
  const { after, numberOf, recordOf, acknowledge } = options;
  let number = after === undefined ? 0 : countOf(after);
  return {
    async next({ maxRecords, maxBytes }): Promise<ReadResult> {
      const letters = await queue.read({ after: number, maxRecords, maxBytes });
      if (letters.length === 0) return { kind: 'idle' };
      const builder = new BatchBuilder();
      for (const letter of letters) {
        number = numberOf(letter);
        builder.append({ ...recordOf(letter), position: positionOfCount(number) });
      }
      const [first] = letters as [DeadLetter];
      const { lane, epoch } = first.batch;
      const batch = builder.build({ lane, epoch, firstSequence: 0, watermark: undefined });
      return { kind: 'batch', batch };
    },
    acknowledge: (position) => acknowledge(countOf(position)),
    lag: () => ({}),
    close: () => Promise.resolve(),
  };
}

function countOf(position: Uint8Array): number {
  const count = countOfPosition(position);
  if (count === undefined) {
    throw new EtlError('ETL_INVALID_ARGUMENT', 'a lane of dead letters has positions of 8 bytes');
  }
  return count;
}
