// What a member refuses before anything is done: commands that fit no entry, a state that belongs to another log, and
// calls while it does not serve. And how it is, for those above.

import { EtlError } from '@etl-router/core';
import { closedError } from '../consensus/aborted.ts';
import type { ConsensusRole, ConsensusStatus, ReplicatedState } from '../consensus/consensus.ts';
import { maxEntryBytes, type RaftLog } from '../storage/log-types.ts';
import type { Raft } from './raft.ts';

/** Throws ETL_INVALID_ARGUMENT or ETL_LIMIT_EXCEEDED. */
export function checkCommand(command: Uint8Array): void {
  if (command.length === 0) {
    throw new EtlError('ETL_INVALID_ARGUMENT', 'command: must not be empty');
  }
  if (command.length > maxEntryBytes) {
    throw new EtlError(
      'ETL_LIMIT_EXCEEDED',
      `command: has ${command.length} bytes, at most ${maxEntryBytes} fit an entry of the log; send less at a time`,
      { details: { bytes: command.length, maxBytes: maxEntryBytes } },
    );
  }
}

/** The applied state must be a place in this log, or it is that of another one. */
export function checkApplied(log: RaftLog, state: ReplicatedState): void {
  const { index, term } = state.applied;
  const known = log.term(index);
  if (index >= log.compacted.index && index <= log.lastIndex && known === term) return;
  throw new EtlError(
    'ETL_STORAGE_CORRUPT',
    `the applied state ends with entry ${index} of term ${term}, which the log (entries ${log.firstIndex} to ${log.lastIndex}) does not have; delete the directory applied/ to rebuild it, or restore a backup`,
    { details: { index, term } },
  );
}

/** What a driver is in, for {@link checkServing}. */
export interface DriverState {
  readonly failure: EtlError | undefined;
  readonly isClosing: boolean;
  readonly raft: Raft | undefined;
}

/** The core of a driver that serves. Throws what ended it, ETL_UNAVAILABLE before it started, or that the caller left. */
export function checkServing(
  { failure, isClosing, raft }: DriverState,
  signal: AbortSignal | undefined,
): Raft {
  if (failure !== undefined) throw failure;
  if (isClosing) throw closedError();
  if (raft === undefined)
    throw new EtlError('ETL_UNAVAILABLE', 'the router is reading its log; try again in a moment');
  if (signal?.aborted !== true) return raft;
  throw new EtlError('ETL_CANCELLED', 'the caller left before the command was sent', {
    cause: signal.reason,
  });
}

/** The role of a driver for those above. */
export function roleOf({ failure, isClosing, raft }: DriverState): ConsensusRole {
  if (failure !== undefined) return 'failed';
  if (isClosing) return 'closed';
  if (raft === undefined) return 'starting';
  return raft.role === 'preCandidate' ? 'candidate' : raft.role;
}

/** What the log holds and takes, as a status tells it. */
export function extentOf(
  log: RaftLog & { readonly diskBytes: number },
): Pick<ConsensusStatus, 'firstIndex' | 'lastIndex' | 'logLength' | 'snapshotIndex' | 'logBytes'> {
  const { firstIndex, lastIndex, snapshot, diskBytes } = log;
  const logLength = lastIndex - firstIndex + 1;
  return { firstIndex, lastIndex, logLength, snapshotIndex: snapshot.index, logBytes: diskBytes };
}
