// What consensus drives: the state machine, its rows on disk and its snapshots, kept at one place in the log. An entry
// is answered only after its changes are handed to the store, so that what a caller saw is never ahead of it.

import { EtlError, toEtlError } from '@etl-router/core';
import type { CommittedEntry, ReplicatedState } from '../consensus/consensus.ts';
import type { LogPosition, LogReader } from '../storage/log-types.ts';
import {
  pruneSnapshots,
  readSnapshot,
  type SnapshotPlace,
  writeSnapshot,
} from '../storage/snapshot-file.ts';
import type { AppliedStore, Row, RowChange } from './applied-store.ts';

/** The state machine as seen from here: commands in, answers and changed rows out. */
export interface Machine {
  /** Applies one command. Throws only for what this release can not apply: then the member must stop. */
  apply(command: Uint8Array): {
    readonly result: Uint8Array;
    readonly changes: readonly RowChange[];
  };
  /** Replaces the state by these rows. */
  restore(rows: Iterable<Row>): void;
}

export interface ReplicaOptions {
  /** Open, and to be closed by the caller once consensus is closed. */
  readonly store: AppliedStore;
  readonly machine: Machine;
  readonly log: LogReader;
  readonly snapshots: SnapshotPlace;
}

const noResult: Uint8Array = new Uint8Array(0);

/** The replicated state of this member. */
export class Replica implements ReplicatedState {
  readonly #options: ReplicaOptions;

  private constructor(options: ReplicaOptions) {
    this.#options = options;
  }

  /** Brings store and machine to one place in the log: the store's own, or the latest snapshot's. */
  static async open(options: ReplicaOptions): Promise<Replica> {
    const { store, machine, log, snapshots } = options;
    if (isInLog(store.applied, log)) {
      machine.restore(await store.load());
      return new Replica(options);
    }
    const rows = log.snapshot.index === 0 ? [] : await readSnapshot(snapshots, log.snapshot);
    await store.replace(rows, log.snapshot);
    machine.restore(rows);
    return new Replica(options);
  }

  get applied(): LogPosition {
    return this.#options.store.applied;
  }

  async apply(entries: readonly CommittedEntry[]): Promise<readonly Uint8Array[]> {
    const { machine, store } = this.#options;
    const last = entries.at(-1);
    if (last === undefined) return [];
    const results: Uint8Array[] = [];
    const changes: RowChange[] = [];
    for (const { index, data } of entries) {
      if (data.length === 0) {
        results.push(noResult);
        continue;
      }
      const applied = applyOne(machine, index, data);
      results.push(applied.result);
      for (const change of applied.changes) changes.push(change);
    }
    await store.apply(changes, { index: last.index, term: last.term });
    return results;
  }

  async snapshot(): Promise<LogPosition> {
    const { store, snapshots, log } = this.#options;
    // The log names the new one only later; until then the one that it names must stay.
    await pruneSnapshots(snapshots, log.snapshot);
    const view = await store.view();
    try {
      await writeSnapshot(snapshots, view.applied, view.rows());
    } finally {
      await view.close();
    }
    return view.applied;
  }
}

/** Whether the log can go on from that entry. */
function isInLog(applied: LogPosition, log: LogReader): boolean {
  return (
    applied.index >= log.compacted.index &&
    applied.index <= log.lastIndex &&
    log.term(applied.index) === applied.term
  );
}

function applyOne(
  machine: Machine,
  index: number,
  command: Uint8Array,
): ReturnType<Machine['apply']> {
  try {
    return machine.apply(command);
  } catch (error) {
    const { code, message } = toEtlError(error);
    throw new EtlError(code, `entry ${index} can not be applied: ${message}`, { cause: error });
  }
}
