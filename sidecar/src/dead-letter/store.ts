// Where records go that a stage could not take, and how they come back. The engine knows this interface; local-store.ts
// keeps it on disk. A dead letter is durable before its record counts as resolved, and leaves the store only when it
// is discarded or was sent again and resolved.

import type { RecordBatch } from '@etl-router/core';
import type { StageKind } from '@etl-router/pipeline';

/** A record that failed, as the engine hands it over. */
export interface DeadLetterEntry {
  /** `namespace/name`. */
  readonly pipelineId: string;
  /** The id every replay of the record has again. */
  readonly id: string;
  /** Where it failed, and where it goes on when it is sent again. */
  readonly stage: string;
  readonly stageKind: StageKind;
  /** The lane it first travelled in. */
  readonly source: string;
  readonly partition: string;
  /** Upper-case word that groups failures of one cause. */
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly firstFailureMs: number;
  readonly lastFailureMs: number;
  readonly pipelineVersion: number;
  /** The record as it came to the stage, alone in a batch. */
  readonly batch: RecordBatch;
}

/** A stored dead letter. There is one for each (pipeline, id, stage). */
export interface DeadLetter extends DeadLetterEntry {
  /** Counts appended dead letters; a record that fails again gets a new one. */
  readonly ordinal: number;
  /** Groups what has one cause: `stage/code`. */
  readonly fingerprint: string;
  /** Its place in the queue of what is being sent again; undefined: it waits for somebody to decide. */
  readonly redrive: number | undefined;
}

/** All given fields must match. */
export interface DeadLetterFilter {
  readonly ids?: readonly string[];
  readonly stage?: string;
  readonly code?: string;
}

export interface DeadLetterPage {
  readonly items: readonly DeadLetter[];
  /** How many match in all. */
  readonly total: number;
  /** Give it as `after` for the next page; undefined: this was the last. */
  readonly next: number | undefined;
}

/** Reads a queue of the store, in order. */
export interface DeadLetterQueue {
  /** Those that follow, at most `maxRecords`, and `maxBytes` unless the first alone has more. */
  read(request: {
    readonly after: number;
    readonly maxRecords: number;
    readonly maxBytes: number;
  }): Promise<readonly DeadLetter[]>;
}

/** A queue of what is sent again: what came from one source and failed at one stage. */
export interface RedriveLane {
  readonly source: string;
  readonly stage: string;
}

/** How many there are, and of what. */
export interface DeadLetterCounts {
  readonly total: number;
  readonly redriving: number;
  readonly byFingerprint: ReadonlyMap<string, number>;
}

export interface DeadLetterStore {
  /**
   * Resolves when the entries would survive a crash. An entry that is there already is replaced; it keeps its first
   * failure, and attempts add up. Waits while the store is full; rejects with the signal's reason.
   */
  append(entries: readonly DeadLetterEntry[], signal: AbortSignal): Promise<void>;
  /** Oldest first, those after ordinal `after`. */
  list(request: {
    readonly pipelineId: string;
    readonly filter?: DeadLetterFilter;
    readonly first: number;
    readonly after?: number;
  }): Promise<DeadLetterPage>;
  /** The dead letter of that id; with several, the one that failed last. */
  get(pipelineId: string, id: string): Promise<DeadLetter | undefined>;
  counts(pipelineId: string): DeadLetterCounts;
  /** How many match. */
  count(pipelineId: string, filter: DeadLetterFilter): number;
  /** Queues those that match and are not queued yet, durably; says how many. */
  redrive(pipelineId: string, filter: DeadLetterFilter): Promise<number>;
  /** Removes those that match and are not queued, durably; says how many. */
  discard(pipelineId: string, filter: DeadLetterFilter): Promise<number>;
  /**
   * The ids of one lane's dead letters, by stage, those included that are being appended: a replay leaves them out,
   * they are resolved.
   */
  idsOf(
    pipelineId: string,
    lane: { readonly source: string; readonly partition: string },
  ): Promise<ReadonlyMap<string, ReadonlySet<string>>>;
  /** The queues that hold something. */
  redriveLanes(pipelineId: string): readonly RedriveLane[];
  /** One queue, in order of {@link DeadLetter.redrive}. */
  redriveQueue(pipelineId: string, lane: RedriveLane): DeadLetterQueue;
  /** All of a pipeline, in order of {@link DeadLetter.ordinal}. */
  queue(pipelineId: string): DeadLetterQueue;
  /** The ordinal of the last one of a pipeline; 0 when it has none. */
  lastOrdinal(pipelineId: string): number;
  /** Removes what is queued up to `redrive`: it was resolved. What failed again is not queued any more and stays. */
  removeRedriven(pipelineId: string, lane: RedriveLane, redrive: number): Promise<void>;
  /** Bytes on disk, the bound at which {@link append} waits, and how many appends wait. */
  readonly usage: { readonly bytes: number; readonly maxBytes: number; readonly waiting: number };
  close(): Promise<void>;
}
