// What consensus drives: the state machine, its rows on disk and its snapshots, kept at one place in the log. An entry
// is answered only after its changes are handed to the store, so that what a caller saw is never ahead of it.

import { EtlError, toEtlError } from '@etl-router/core';
import type { CommittedEntry, ReplicatedState } from '../consensus/consensus.ts';
import type { LogPosition, LogReader } from '../storage/log-types.ts';
import {
  checkSnapshot,
  pruneSnapshots,
  readSnapshot,
  readSnapshotRow,
  type SnapshotPlace,
  writeSnapshot,
} from '../storage/snapshot-file.ts';
import type { AppliedStore, Changes, ManyChanges, Row, RowChange } from './applied-store.ts';
import type { DigestNote, Divergence } from './divergence.ts';

/** The state machine as seen from here: commands in, answers and changed rows out. */
export interface Machine {
  /** Applies one command. Throws only for what this release can not apply: then the member must stop. */
  apply(command: Uint8Array): {
    readonly result: Uint8Array;
    readonly changes: Changes;
    readonly note?: DigestNote | undefined;
  };
  /** Replaces the state by these rows. */
  restore(rows: Iterable<Row>): void;
}

/** What of the log says whether the store is a place in it; the snapshot is the one that it names at any time. */
export type ReplicaLog = Pick<LogReader, 'snapshot' | 'compacted' | 'lastIndex' | 'term'>;

export interface ReplicaOptions {
  /** Open, and to be closed by the caller once consensus is closed. */
  readonly store: AppliedStore;
  readonly machine: Machine;
  readonly log: ReplicaLog;
  readonly snapshots: SnapshotPlace;
  /** Compares this member with the others. Default: nobody does. */
  readonly divergence?: Divergence;
}

const noResult: Uint8Array = new Uint8Array(0);
/** Row of the members of the cluster, between those of the state: no table has this tag. */
const membershipKey: Uint8Array = Buffer.from('~members');

/** The replicated state of this member. */
export class Replica implements ReplicatedState {
  readonly #options: ReplicaOptions;
  #membership: Uint8Array | undefined;

  private constructor(options: ReplicaOptions) {
    this.#options = options;
  }

  /** Brings store and machine to one place in the log: the store's own, or the latest snapshot's. */
  static async open(options: ReplicaOptions): Promise<Replica> {
    const { store, log, snapshots } = options;
    const replica = new Replica(options);
    if (isInLog(store.applied, log)) {
      // It is not needed now; whoever it is sent to, and the start that does need it, would find the damage too late.
      if (log.snapshot.index > 0) await checkSnapshot(snapshots, log.snapshot);
      replica.#restore(await store.load());
    } else if (log.snapshot.index > 0) await replica.install(log.snapshot);
    else {
      await store.replace([], log.snapshot);
      replica.#restore([]);
    }
    return replica;
  }

  get applied(): LogPosition {
    return this.#options.store.applied;
  }

  get membership(): Uint8Array | undefined {
    return this.#membership;
  }

  async apply(entries: readonly CommittedEntry[]): Promise<readonly Uint8Array[]> {
    const { machine, store, divergence } = this.#options;
    const last = entries.at(-1);
    if (last === undefined) return [];
    const results: Uint8Array[] = [];
    let changes: (RowChange | ManyChanges)[] = [];
    for (const { index, term, data, membership } of entries) {
      if (membership !== undefined) {
        this.#membership = membership;
        changes.push({ key: membershipKey, value: membership });
      }
      if (data.length === 0) {
        results.push(noResult);
        continue;
      }
      const applied = applyOne(machine, index, data);
      results.push(applied.result);
      for (const change of applied.changes) changes.push(change);
      if (applied.note?.kind === 'report') divergence?.note(applied.note);
      if (applied.note?.kind !== 'take' || divergence === undefined) continue;
      // A digest is of the rows as of exactly this entry.
      await store.apply(changes, { index, term });
      changes = [];
      await divergence.take(() => store.view());
    }
    await divergence?.check();
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

  async install(position: LogPosition): Promise<void> {
    const { store, snapshots } = this.#options;
    const rows = await readSnapshot(snapshots, position);
    await store.replace(rows, position);
    this.#restore(rows);
  }

  async membershipAt(position: LogPosition): Promise<Uint8Array> {
    const { snapshots } = this.#options;
    const membership = await readSnapshotRow(snapshots, position, membershipKey);
    if (membership !== undefined) return membership;
    throw new EtlError(
      'ETL_STORAGE_CORRUPT',
      `the snapshot of entry ${position.index} names no members`,
    );
  }

  #restore(rows: readonly Row[]): void {
    this.#membership = rows.find(isMembership)?.[1];
    this.#options.machine.restore(rows.filter((row) => !isMembership(row)));
  }
}

function isMembership([key]: Row): boolean {
  return Buffer.compare(key, membershipKey) === 0;
}

/** Whether the log can go on from that entry. */
function isInLog(applied: LogPosition, log: ReplicaLog): boolean {
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
