// Brings a backup into the log in pieces, and into force in one entry. What came so far is part of the state, and so of
// snapshots; nothing of it is seen until the commit, which replaces all that is restored or changes nothing. Rows are
// read as they come (staged-restore.ts), so the commit only exchanges tables. The revision leaps, so that every epoch,
// generation and version that anyone holds is one of the past.

import { create } from '@bufbuild/protobuf';
import { sha256 } from '@etl-router/core';
import {
  type AbortRestore,
  type BeginRestore,
  type CommitRestore,
  type PutRestoreChunk,
  RestoreResultSchema,
  type StoredRestore,
  StoredRestoreChunkSchema,
  StoredRestoreSchema,
} from '@etl-router/proto';
import {
  maxRestoreBytes,
  maxRestoreChunkBytes,
  maxRestoreChunks,
  maxRestoredRevision,
  restoreIdleMs,
  restoreLeap,
} from './limits.ts';
import { checkBytes, checkId, invalid } from './names.ts';
import { conflict, done, notFound, type Outcome } from './refusal.ts';
import { restoredTables } from './restored-rows.ts';
import type { Context, Tables } from './tables.ts';

/** Key of the restore that is under way. */
export const runningRestoreKey = 'running';
/** Key of the one that took effect last. */
export const lastRestoreKey = 'last';

const digestBytes = 32;
/** Digest of no chunks. */
export const restoreDigestStart: Uint8Array = new Uint8Array(digestBytes);

/** The digest of chunks, one of which is added. */
export function nextRestoreDigest(before: Uint8Array, chunk: Uint8Array): Uint8Array {
  return sha256(before, chunk);
}

/** Whether the state holds nothing that a restore would replace. */
export function holdsNothing(tables: Tables): boolean {
  return restoredTables(tables).every(({ size }) => size === 0);
}

export function beginRestore(context: Context, command: BeginRestore): Outcome {
  const { restores } = context.tables;
  checkBegin(command);
  const last = restores.get(lastRestoreKey);
  if (last?.restoreId === command.restoreId) {
    checkSame(last, command);
    return progress(last);
  }
  const running = restores.get(runningRestoreKey);
  if (running?.restoreId === command.restoreId) {
    checkSame(running, command);
    return progress(see(context, running));
  }
  if (running !== undefined) {
    const silentNs = context.nowNs - running.lastSeenAtNs;
    if (silentNs < BigInt(restoreIdleMs) * 1_000_000n) {
      throw conflict(
        `restore ${running.restoreId} is under way; wait for its end, or a minute after its last sign of life`,
        { restoreId: running.restoreId },
      );
    }
    dropRunning(context);
  }
  checkReplaces(context, command.replacesState);
  const { restoreId, sourceClusterId, sourceRevision, bytes, chunks, digest } = command;
  const restore = create(StoredRestoreSchema, {
    ...{ restoreId, sourceClusterId, sourceRevision, bytes, chunks, digest },
    replacesState: command.replacesState,
    receivedDigest: restoreDigestStart,
    beganAtNs: context.nowNs,
  });
  return progress(see(context, restore));
}

export function putRestoreChunk(context: Context, command: PutRestoreChunk): Outcome {
  const { index, data } = command;
  const restore = existing(context, command.restoreId);
  checkBytes('data', data.length, maxRestoreChunkBytes);
  if (data.length === 0) throw invalid('data', 'must not be empty');
  if (index < restore.receivedChunks) return progress(see(context, restore));
  const receivedBytes = restore.receivedBytes + BigInt(data.length);
  if (index > restore.receivedChunks || index >= restore.chunks) {
    throw invalid('index', `must be ${restore.receivedChunks}, of ${restore.chunks} chunks`);
  }
  if (receivedBytes > restore.bytes) {
    throw invalid('data', `is more than the ${restore.bytes} bytes of the restore`);
  }
  const { restoreChunks, staged } = context.tables;
  restoreChunks.put(chunkKey(index), create(StoredRestoreChunkSchema, { data }));
  staged.read();
  const receivedDigest = nextRestoreDigest(restore.receivedDigest, data);
  const receivedChunks = restore.receivedChunks + 1;
  return progress(see(context, { ...restore, receivedChunks, receivedBytes, receivedDigest }));
}

export function commitRestore(context: Context, command: CommitRestore): Outcome {
  const { restores, assignments, staged } = context.tables;
  const last = restores.get(lastRestoreKey);
  if (last?.restoreId === command.restoreId) return progress(last);
  const restore = existing(context, command.restoreId);
  checkComplete(restore);
  checkReplaces(context, restore.replacesState);
  const revision = context.leap(restore.sourceRevision, restoreLeap);
  staged.commit(revision);
  for (const pipeline of assignments.keys()) assignments.delete(pipeline);
  dropRunning(context);
  const committed: StoredRestore = {
    ...restore,
    receivedChunks: 0,
    receivedBytes: 0n,
    receivedDigest: new Uint8Array(),
    lastSeenAtNs: context.nowNs,
    revision,
  };
  restores.put(lastRestoreKey, committed);
  return progress(committed);
}

export function abortRestore(context: Context, command: AbortRestore): Outcome {
  const running = context.tables.restores.get(runningRestoreKey);
  if (running?.restoreId !== command.restoreId) return done;
  if (command.lastSeenAtNs !== 0n && running.lastSeenAtNs > command.lastSeenAtNs) {
    throw conflict(`restore ${running.restoreId} went on since`);
  }
  dropRunning(context);
  return done;
}

function checkBegin(command: BeginRestore): void {
  checkId('restore_id', command.restoreId);
  checkId('source_cluster_id', command.sourceClusterId);
  if (command.sourceRevision > maxRestoredRevision) {
    throw invalid('source_revision', `must be at most ${maxRestoredRevision}`);
  }
  if (command.bytes > BigInt(maxRestoreBytes) || command.chunks > maxRestoreChunks) {
    throw invalid('bytes', `must be at most ${maxRestoreBytes}, in ${maxRestoreChunks} chunks`);
  }
  if (command.digest.length !== digestBytes) {
    throw invalid('digest', `must have ${digestBytes} bytes`);
  }
}

function checkSame(restore: StoredRestore, command: BeginRestore): void {
  if (Buffer.compare(restore.digest, command.digest) === 0) return;
  throw conflict(`restore ${restore.restoreId} is of another backup; use a new id`);
}

function checkReplaces(context: Context, replacesState: boolean): void {
  if (replacesState || holdsNothing(context.tables)) return;
  throw conflict('the state is not empty; name the cluster whose state is to be replaced');
}

function checkComplete(restore: StoredRestore): void {
  const { restoreId, chunks, receivedChunks, bytes, receivedBytes } = restore;
  if (receivedChunks < chunks || receivedBytes < bytes) {
    throw conflict(`restore ${restoreId} has ${receivedChunks} of ${chunks} chunks`);
  }
  if (Buffer.compare(restore.digest, restore.receivedDigest) === 0) return;
  throw invalid('digest', `of what came for restore ${restoreId} is another one`);
}

function existing(context: Context, restoreId: string): StoredRestore {
  const running = context.tables.restores.get(runningRestoreKey);
  if (running === undefined || running.restoreId !== restoreId)
    throw notFound('restore', restoreId);
  return running;
}

function see(context: Context, restore: StoredRestore): StoredRestore {
  const seen = { ...restore, lastSeenAtNs: context.nowNs };
  context.tables.restores.put(runningRestoreKey, seen);
  return seen;
}

function dropRunning({ tables }: Context): void {
  tables.restores.delete(runningRestoreKey);
  for (const key of tables.restoreChunks.keys()) tables.restoreChunks.delete(key);
  tables.staged.clear();
}

function progress({ receivedChunks, revision }: StoredRestore): Outcome {
  const value = create(RestoreResultSchema, {
    nextChunk: receivedChunks,
    committed: revision !== 0n,
  });
  return { case: 'restore', value };
}

/** Chunks are in the order of their numbers. */
function chunkKey(index: number): string {
  return String(index).padStart(8, '0');
}
