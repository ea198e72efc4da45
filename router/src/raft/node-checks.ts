// What a member refuses before anything is done: commands that fit no entry, and a state that belongs to another log.

import { EtlError } from '@etl-router/core';
import type { ReplicatedState } from '../consensus/consensus.ts';
import { maxEntryBytes, type RaftLog } from '../storage/log-types.ts';

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
