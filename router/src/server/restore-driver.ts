// Brings a backup into the log: proves first that it can be restored, then proposes it in chunks.
// Whatever ends it early, what came so far is dropped; a leader that changes meanwhile only delays it.

import { createHash } from 'node:crypto';
import { fromBinary } from '@bufbuild/protobuf';
import { type Clock, EtlError, isEtlError, sleep } from '@etl-router/core';
import type { BeginRestore, RestoreResult } from '@etl-router/proto';
import { StoredMetaSchema } from '@etl-router/proto';
import { outcomeOf } from '../consensus/outcome.ts';
import { maxRestoreBytes, maxRestoreChunkBytes } from '../state/limits.ts';
import type { CommandBody } from '../state/proposal.ts';
import { nextRestoreDigest, restoreDigestStart } from '../state/restore.ts';
import { RestoredRows, restoredTables } from '../state/restored-rows.ts';
import { Tables } from '../state/tables.ts';
import {
  type BackupCounts,
  type BackupHead,
  BackupReader,
  encodeBackupRow,
  RowCounter,
} from '../storage/backup-file.ts';
import type { BackupInfo, BackupStore } from '../storage/backup-store.ts';
import type { Proposer } from './proposer.ts';

/** What a backup turned out to be. */
export interface ReadBackup {
  readonly head: BackupHead;
  readonly counts: Readonly<BackupCounts>;
}

/** A backup that can be restored. */
export interface RestorePlan extends ReadBackup {
  readonly begin: Pick<
    BeginRestore,
    'sourceClusterId' | 'sourceRevision' | 'bytes' | 'chunks' | 'digest'
  >;
}

/** The tags of tables that are restored, as keys begin with them. */
const restoredTags: ReadonlySet<number> = new Set(
  restoredTables(new Tables()).map(({ tag }) => tag.charCodeAt(0)),
);

/** The revision in the row of the state's clock. */
export function revisionOf(value: Uint8Array): bigint {
  try {
    return fromBinary(StoredMetaSchema, value).revision;
  } catch {
    throw new EtlError('ETL_INVALID_ARGUMENT', 'the clock of the backup can not be decoded');
  }
}

/** Reads bytes as a backup, to the end. Throws ETL_INVALID_ARGUMENT or ETL_UNSUPPORTED for what is none. */
export class BackupCheck {
  readonly #reader = new BackupReader();
  readonly #counter = new RowCounter();

  read(chunk: Uint8Array): void {
    for (const row of this.#reader.read(chunk)) this.#counter.add(row, revisionOf);
  }

  end(): ReadBackup {
    return { head: this.#reader.end(), counts: this.#counter.counts };
  }
}

/**
 * Proves all of a backup. Throws ETL_STORAGE_CORRUPT where it is not what it was when it was kept, ETL_INVALID_ARGUMENT
 * where a row can not be restored, ETL_LIMIT_EXCEEDED where it is too large.
 */
export async function planRestore(store: BackupStore, info: BackupInfo): Promise<RestorePlan> {
  await checkDigest(store, info);
  const check = new BackupCheck();
  const pieces = (async function* () {
    for await (const piece of store.read(info.id)) {
      check.read(piece);
      yield piece;
    }
  })();
  const rows = new RestoredRows(new Tables());
  const sum = { bytes: 0, chunks: 0, digest: restoreDigestStart };
  for await (const chunk of chunksOf(pieces, (row) => rows.add(row))) {
    sum.bytes += chunk.length;
    sum.chunks += 1;
    sum.digest = nextRestoreDigest(sum.digest, chunk);
    if (sum.bytes > maxRestoreBytes) throw tooLarge(info);
  }
  const { head, counts } = check.end();
  const begin = {
    sourceClusterId: head.clusterId,
    sourceRevision: counts.revision,
    ...sum,
    bytes: BigInt(sum.bytes),
  };
  return { head, counts, begin };
}

async function checkDigest(store: BackupStore, { id, sha256 }: BackupInfo): Promise<void> {
  const hash = createHash('sha256');
  for await (const piece of store.read(id)) hash.update(piece);
  if (hash.digest('hex') === sha256) return;
  throw new EtlError(
    'ETL_STORAGE_CORRUPT',
    `snapshot ${id} is damaged: its content does not match its SHA-256`,
  );
}

export interface RestoreRun {
  readonly store: BackupStore;
  readonly proposer: Proposer;
  readonly clock: Clock;
  readonly snapshotId: string;
  readonly restoreId: string;
  readonly replacesState: boolean;
  readonly plan: RestorePlan;
  readonly signal: AbortSignal | undefined;
}

/** How long it may go without progress. */
const stallMaxMs = 60_000;
const pauseMs = 250;
const abortMaxMs = 5000;

/** Resolves when the backup is in force. */
export async function runRestore(run: RestoreRun): Promise<void> {
  const { clock, signal } = run;
  const state = { progressAtMs: clock.monotonicMs(), hasBegun: false };
  try {
    for (;;) {
      try {
        return await attempt(run, state);
      } catch (error) {
        const isStalled = clock.monotonicMs() - state.progressAtMs > stallMaxMs;
        if (isStalled || signal?.aborted === true || !goesOn(error, state.hasBegun)) throw error;
      }
      await sleep(clock, pauseMs, signal);
    }
  } catch (error) {
    if (state.hasBegun) await giveUp(run);
    throw error;
  }
}

async function attempt(
  run: RestoreRun,
  state: { progressAtMs: number; hasBegun: boolean },
): Promise<void> {
  const { restoreId, plan, replacesState, store, clock } = run;
  const value = { ...plan.begin, restoreId, replacesState };
  const { committed, nextChunk } = await ask(run, { case: 'beginRestore', value });
  state.hasBegun = true;
  if (committed) return;
  let index = 0;
  for await (const data of chunksOf(readRows(store, run.snapshotId), undefined)) {
    if (index >= nextChunk) {
      await ask(run, { case: 'putRestoreChunk', value: { restoreId, index, data } });
      state.progressAtMs = clock.monotonicMs();
    }
    index += 1;
  }
  await ask(run, { case: 'commitRestore', value: { restoreId } });
}

function ask({ proposer, signal }: RestoreRun, body: CommandBody): Promise<RestoreResult> {
  return proposer.ask('restore', body, { signal });
}

/** A leader that is lost, or a restore that someone else dropped: what is there is asked, and it goes on from there. */
function goesOn(error: unknown, hasBegun: boolean): boolean {
  if (!isEtlError(error)) return false;
  if (error.code === 'ETL_NOT_LEADER') return hasBegun;
  // Beginning again tells what of it is there already.
  if (error.code === 'ETL_UNAVAILABLE' && outcomeOf(error) !== 'refused') return true;
  return error.retryable && error.code !== 'ETL_CANCELLED';
}

async function giveUp({ proposer, restoreId }: RestoreRun): Promise<void> {
  const body: CommandBody = { case: 'abortRestore', value: { restoreId } };
  try {
    await proposer.propose(body, { signal: AbortSignal.timeout(abortMaxMs) });
  } catch {
    // The leader drops it once it was silent for long enough (Backups.start).
  }
}

function readRows(store: BackupStore, id: string): AsyncIterable<Uint8Array> {
  return store.read(id);
}

/** The rows that are restored, as the bytes of chunks. Equal on every reading. */
async function* chunksOf(
  pieces: AsyncIterable<Uint8Array>,
  onRow: ((row: readonly [Uint8Array, Uint8Array]) => void) | undefined,
): AsyncGenerator<Uint8Array> {
  const reader = new BackupReader();
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    for (const row of reader.read(piece)) {
      if (!restoredTags.has(row[0][0] as number)) continue;
      onRow?.(row);
      for (const part of encodeBackupRow(row)) {
        waiting.push(part);
        bytes += part.length;
      }
    }
    while (bytes >= maxRestoreChunkBytes) {
      const all: Uint8Array = Buffer.concat(waiting, bytes);
      yield all.subarray(0, maxRestoreChunkBytes);
      waiting = [all.subarray(maxRestoreChunkBytes)];
      bytes -= maxRestoreChunkBytes;
    }
  }
  reader.end();
  if (bytes > 0) yield Buffer.concat(waiting, bytes);
}

function tooLarge({ id }: BackupInfo): EtlError {
  return new EtlError(
    'ETL_LIMIT_EXCEEDED',
    `snapshot ${id} has more than ${maxRestoreBytes} bytes to restore`,
    { details: { limitBytes: maxRestoreBytes } },
  );
}
