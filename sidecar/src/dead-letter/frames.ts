// What the dead-letter store writes to its log, one of three kinds of frame. Layout, little endian:
//   kind (1) · length of the JSON (4) · JSON · the record's RecordBatch message (entries only)
// Replaying the frames in order gives the store's index.

import { EtlError, RecordBatch } from '@etl-router/core';
import type { StageKind } from '@etl-router/pipeline';
import type { DeadLetter, DeadLetterEntry } from './store.ts';

const kinds = { entry: 1, removal: 2, redrive: 3 } as const;
const headBytes = 5;

/** An entry without its record. */
export interface EntryFacts {
  readonly pipelineId: string;
  readonly id: string;
  readonly stage: string;
  readonly stageKind: StageKind;
  readonly source: string;
  readonly partition: string;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly firstFailureMs: number;
  readonly lastFailureMs: number;
  readonly pipelineVersion: number;
  readonly ordinal: number;
  /** Set in frames that a compaction wrote. */
  readonly redrive?: number | undefined;
}

/** Ordinals of entries that left the store. */
export interface RemovalFacts {
  readonly ordinals: readonly number[];
  /** Highest numbers given out so far, which must never be given out again. */
  readonly lastOrdinal: number;
  readonly lastRedrive: number;
}

/** Entries that were queued, as pairs of ordinal and place in the queue. */
export interface RedriveFacts {
  readonly queued: readonly (readonly [ordinal: number, redrive: number])[];
}

export type Frame =
  | { readonly kind: 'entry'; readonly facts: EntryFacts }
  | { readonly kind: 'removal'; readonly facts: RemovalFacts }
  | { readonly kind: 'redrive'; readonly facts: RedriveFacts };

export function encodeEntry(
  entry: DeadLetterEntry,
  numbers: Pick<EntryFacts, 'ordinal' | 'redrive'>,
): Buffer {
  const { batch, ...facts } = entry;
  return encode(kinds.entry, { ...facts, ...numbers }, batch.toBytes());
}

export function encodeRemoval(facts: RemovalFacts): Buffer {
  return encode(kinds.removal, facts);
}

export function encodeRedrive(facts: RedriveFacts): Buffer {
  return encode(kinds.redrive, facts);
}

/** Reads a frame but for the record. */
export function decodeFrame(payload: Buffer): Frame {
  const facts: unknown = JSON.parse(payload.toString('utf8', headBytes, recordStart(payload)));
  const kind = payload[0] as number;
  switch (kind) {
    case kinds.entry:
      return { kind: 'entry', facts: facts as EntryFacts };
    case kinds.removal:
      return { kind: 'removal', facts: facts as RemovalFacts };
    case kinds.redrive:
      return { kind: 'redrive', facts: facts as RedriveFacts };
    default:
      throw new EtlError(
        'ETL_STORAGE_CORRUPT',
        `dead letters: a frame of kind ${kind}; a newer version wrote it, start that one`,
      );
  }
}

/** Reads an entry with its record. */
export function decodeEntry(payload: Buffer, redrive: number | undefined): DeadLetter {
  const { facts } = decodeFrame(payload) as { readonly facts: EntryFacts };
  const batch = RecordBatch.decode(payload.subarray(recordStart(payload)));
  return { ...facts, batch, redrive, fingerprint: `${facts.stage}/${facts.code}` };
}

function encode(kind: number, facts: object, record?: Buffer): Buffer {
  const json = Buffer.from(JSON.stringify(facts));
  const head = Buffer.alloc(headBytes);
  head[0] = kind;
  head.writeUInt32LE(json.length, 1);
  return Buffer.concat(record === undefined ? [head, json] : [head, json, record]);
}

function recordStart(payload: Buffer): number {
  return headBytes + payload.readUInt32LE(1);
}
