// Consensus of one: what is durable here is committed. Everything else is as with Raft: a term and a vote for every
// start, an entry that begins the term, entries delivered in order, snapshots and compaction. A promise is made only
// after the log's sync.

import { assert, EtlError, toEtlError } from '@etl-router/core';
import type { Log } from '../storage/log.ts';
import { type Entry, type LogRecord, maxEntryBytes } from '../storage/log-types.ts';
import type {
  CommittedEntry,
  Consensus,
  ConsensusRole,
  ConsensusStatus,
  ProposalOptions,
  Proposed,
  ReplicatedState,
} from './consensus.ts';
import { LogQuota } from './log-quota.ts';
import { abandoned, PendingProposals, type ProposalBounds } from './pending-proposals.ts';

export interface SingleNodeOptions {
  /** Open, and this object's from now on. */
  readonly log: Log;
  readonly clusterId: string;
  readonly nodeId: number;
  /** Entries between two snapshots. Default 10,000. */
  readonly snapshotInterval?: number;
  /** Memory of the log's entries at which a snapshot is made early. Default 64 MiB. */
  readonly snapshotBytes?: number;
  /** What the log's files may take. Default: no bound. */
  readonly logQuotaBytes?: number;
  /** Default 4,096 proposals and 64 MiB. */
  readonly proposals?: ProposalBounds;
}

/** Entries handed to the state at a time. */
const applyMaxEntries = 512;
const applyMaxBytes: number = 4 * 1024 * 1024;
const noData: Uint8Array = new Uint8Array(0);

/** A cluster of one member. */
export class SingleNode implements Consensus {
  readonly failed: Promise<EtlError>;
  readonly #log: Log;
  readonly #options: SingleNodeOptions;
  readonly #snapshotInterval: number;
  readonly #snapshotBytes: number;
  readonly #pending: PendingProposals;
  readonly #quota: LogQuota;
  readonly #failWith: (error: EtlError) => void;
  #role: ConsensusRole = 'starting';
  #state: ReplicatedState | undefined;
  #commitIndex: number;
  #lastApplied = 0;
  #failure: EtlError | undefined;
  #applying: Promise<void> | undefined;
  #snapshotting: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  /** Called whenever entries were applied or it failed. */
  readonly #watchers = new Set<() => void>();

  constructor(options: SingleNodeOptions) {
    const { log, snapshotInterval, snapshotBytes, proposals } = options;
    const failed = Promise.withResolvers<EtlError>();
    this.failed = failed.promise;
    this.#failWith = failed.resolve;
    this.#log = log;
    this.#options = options;
    this.#snapshotInterval = snapshotInterval ?? 10_000;
    this.#snapshotBytes = snapshotBytes ?? 64 * 1024 * 1024;
    this.#pending = new PendingProposals(
      proposals ?? { maxCount: 4096, maxBytes: 64 * 1024 * 1024 },
    );
    this.#quota = new LogQuota(log, options.logQuotaBytes);
    this.#commitIndex = log.hardState.commit;
  }

  async start(state: ReplicatedState): Promise<void> {
    assert(this.#state === undefined, 'start is called once');
    this.#state = state;
    const { index: applied } = state.applied;
    checkApplied(this.#log, state);
    this.#lastApplied = applied;
    this.#commitIndex = Math.max(applied, this.#log.hardState.commit);
    const { term: lastTerm, commit } = this.#log.hardState;
    const [term, index] = [lastTerm + 1, this.#log.lastIndex + 1];
    try {
      await this.#append({
        hardState: { term, vote: this.#options.nodeId, commit },
        entries: [{ index, term, type: 'normal', data: noData }],
      });
    } catch (error) {
      throw this.#fail(error);
    }
    this.#commit(index);
    await this.#untilApplied(index, undefined);
    if (this.#role === 'starting') this.#role = 'leader';
  }

  async propose(command: Uint8Array, options: ProposalOptions = {}): Promise<Proposed> {
    const { signal } = options;
    this.#checkServing(signal);
    checkCommand(command);
    const refusal =
      this.#pending.refusal(command.length) ?? this.#quota.refusal(options.frees === true);
    if (refusal !== undefined) {
      this.#snapshotWhenDue();
      throw refusal;
    }
    const index = this.#log.lastIndex + 1;
    const { term } = this.#log.hardState;
    const answer = this.#pending.wait(index, command.length, signal);
    const entries: readonly Entry[] = [{ index, term, type: 'normal', data: command }];
    this.#log.append({ entries }, (error) => {
      if (error === undefined) this.#commit(index);
      else this.#fail(error);
    });
    return await answer;
  }

  async readIndex(options: ProposalOptions = {}): Promise<number> {
    this.#checkServing(options.signal);
    const index = this.#commitIndex;
    await this.#untilApplied(index, options.signal);
    return index;
  }

  status(): ConsensusStatus {
    const { hardState, firstIndex, lastIndex, snapshot } = this.#log;
    const { clusterId, nodeId } = this.#options;
    return {
      clusterId,
      nodeId,
      role: this.#role,
      term: hardState.term,
      leaderId: this.#role === 'leader' ? nodeId : undefined,
      commitIndex: this.#commitIndex,
      lastApplied: this.#lastApplied,
      firstIndex,
      lastIndex,
      logLength: lastIndex - firstIndex + 1,
      snapshotIndex: snapshot.index,
      logBytes: this.#log.diskBytes,
      logQuotaBytes: this.#quota.maxBytes,
      pendingProposals: this.#pending.count,
      failure: this.#failure,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#role = 'closed';
    try {
      // An empty record comes back once all before it are durable; what is durable is then applied and answered.
      await this.#append({});
      await this.#untilApplied(this.#commitIndex, undefined);
    } catch (error) {
      this.#fail(error);
    }
    await this.#applying;
    await this.#snapshotting;
    this.#pending.rejectAll(closedError());
    await this.#log.close();
  }

  #checkServing(signal: AbortSignal | undefined): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#role === 'closed') throw closedError();
    if (this.#role !== 'leader') {
      throw new EtlError('ETL_UNAVAILABLE', 'the router is reading its log; try again in a moment');
    }
    if (signal?.aborted === true) {
      throw new EtlError('ETL_CANCELLED', 'the caller left before the command was sent', {
        cause: signal.reason,
      });
    }
  }

  #append(record: LogRecord): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#log.append(record, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  #commit(index: number): void {
    this.#commitIndex = Math.max(this.#commitIndex, index);
    this.#applying ??= this.#applyCommitted();
  }

  /** Applies what is committed. Records of one sync are committed in one turn: waiting for it applies them together. */
  async #applyCommitted(): Promise<void> {
    await Promise.resolve();
    try {
      while (this.#lastApplied < this.#commitIndex && this.#failure === undefined) {
        const low = this.#lastApplied + 1;
        const high = Math.min(this.#commitIndex + 1, low + applyMaxEntries);
        await this.#apply(this.#log.entries(low, high, applyMaxBytes));
        this.#wakeWatchers();
        this.#snapshotWhenDue();
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#applying = undefined;
  }

  async #apply(entries: readonly CommittedEntry[]): Promise<void> {
    const results = await (this.#state as ReplicatedState).apply(entries);
    assert(results.length === entries.length, 'the state answers every entry');
    for (const [at, { index, term }] of entries.entries()) {
      this.#lastApplied = index;
      this.#pending.answer({ index, term, result: results[at] as Uint8Array });
    }
  }

  async #untilApplied(index: number, signal: AbortSignal | undefined): Promise<void> {
    while (this.#lastApplied < index) {
      if (this.#failure !== undefined) throw this.#failure;
      if (signal?.aborted === true) throw abandoned(signal);
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal?.removeEventListener('abort', wake);
          this.#watchers.delete(wake);
          resolve();
        };
        this.#watchers.add(wake);
        signal?.addEventListener('abort', wake, { once: true });
      });
    }
  }

  #wakeWatchers(): void {
    for (const wake of this.#watchers) wake();
  }

  #snapshotWhenDue(): void {
    if (this.#snapshotting !== undefined || this.#role === 'closed') return;
    const entries = this.#lastApplied - this.#log.snapshot.index;
    const isDue =
      entries >= this.#snapshotInterval ||
      this.#log.bytes >= this.#snapshotBytes ||
      (entries > 0 && this.#quota.isHalfTaken);
    if (!isDue) return;
    this.#snapshotting = this.#snapshot();
  }

  /** The snapshot first, then its record in the log, and only then are entries released. */
  async #snapshot(): Promise<void> {
    try {
      const snapshot = await (this.#state as ReplicatedState).snapshot();
      await this.#append({
        hardState: { ...this.#log.hardState, commit: this.#commitIndex },
        snapshot,
      });
      await new Promise<void>((resolve, reject) => {
        this.#log.compact(snapshot.index, (error) => (error ? reject(error) : resolve()));
      });
    } catch (error) {
      this.#fail(error);
    }
    this.#snapshotting = undefined;
  }

  /** Ends it for good. Returns the first error. */
  #fail(error: unknown): EtlError {
    if (this.#failure !== undefined) return this.#failure;
    const failure = toEtlError(error);
    this.#failure = failure;
    this.#pending.rejectAll(failure);
    this.#wakeWatchers();
    if (this.#role !== 'closed') {
      this.#role = 'failed';
      this.#failWith(failure);
    }
    return failure;
  }
}

function closedError(): EtlError {
  return new EtlError('ETL_CANCELLED', 'the router is shutting down');
}

function checkCommand(command: Uint8Array): void {
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
function checkApplied(log: Log, state: ReplicatedState): void {
  const { index, term } = state.applied;
  const known = log.term(index);
  if (index >= log.compacted.index && index <= log.lastIndex && known === term) return;
  throw new EtlError(
    'ETL_STORAGE_CORRUPT',
    `the applied state ends with entry ${index} of term ${term}, which the log (entries ${log.firstIndex} to ${log.lastIndex}) does not have; delete the directory applied/ to rebuild it, or restore a backup`,
    { details: { index, term } },
  );
}
