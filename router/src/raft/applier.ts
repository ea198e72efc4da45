// Hands committed entries to the state, one piece after the other, and installs snapshots between them. The state may
// take its time: consensus goes on meanwhile. Where nobody waits for entries, as on a follower, some of them are handed
// over together: to be woken costs the state more than a small command does.

import type { Cancel, Clock, EtlError } from '@etl-router/core';
import { abandoned, closedError } from '../consensus/aborted.ts';
import type { CommittedEntry, ReplicatedState } from '../consensus/consensus.ts';
import type { Entry, LogPosition, LogReader } from '../storage/log-types.ts';

export interface ApplierOptions {
  readonly state: ReplicatedState;
  readonly applied: number;
  readonly clock: Clock;
  readonly log: Pick<LogReader, 'firstIndex' | 'entries'>;
  /** The last entry that may be applied now. */
  readonly through: () => number;
  /** Whether none but those who are known here, by {@link Applier.until}, may wait for entries. */
  readonly isUnhurried: () => boolean;
  /** Called in order, before an entry is applied. */
  readonly prepare: (entry: Entry) => CommittedEntry;
  readonly onApplied: (entries: readonly CommittedEntry[], results: readonly Uint8Array[]) => void;
  readonly onInstalled: (index: number) => void;
  readonly onError: (error: unknown) => void;
}

/** Entries handed to the state at a time, and bytes of them. */
const applyMaxEntries = 512;
const applyMaxBytes: number = 4 * 1024 * 1024;
/** How long entries that nobody waits for wait for more, and how many do at most, and bytes of them. */
const gatherMs = 10;
const gatherMaxEntries = 64;
const gatherMaxBytes: number = 64 * 1024;

export class Applier {
  readonly state: ReplicatedState;
  readonly #options: ApplierOptions;
  #applied: number;
  #install: LogPosition | undefined;
  #running: Promise<void> | undefined;
  #failure: EtlError | undefined;
  #isClosed = false;
  #cancelGathering: Cancel | undefined;
  readonly #watchers = new Set<() => void>();

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.state = options.state;
    this.#applied = options.applied;
  }

  /** The last entry that is applied. */
  get applied(): number {
    return this.#applied;
  }

  /** There may be something to apply. */
  wake(): void {
    if (this.#isClosed || this.#failure !== undefined || this.#running !== undefined) return;
    const { clock, through } = this.#options;
    const isAnything = this.#install !== undefined || through() > this.#applied;
    if (!isAnything) return;
    if (!this.#gathers()) this.#start();
    else this.#cancelGathering ??= clock.after(gatherMs, () => this.#start());
  }

  /** The log goes on behind that snapshot: the state is replaced by it before anything else is applied. */
  install(snapshot: LogPosition): void {
    this.#install = snapshot;
  }

  /** Resolves when the entry is applied. */
  async until(index: number, signal: AbortSignal | undefined): Promise<void> {
    while (this.#applied < index) {
      if (this.#failure !== undefined) throw this.#failure;
      if (signal?.aborted === true) throw abandoned(signal);
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal?.removeEventListener('abort', wake);
          this.#watchers.delete(wake);
          resolve();
        };
        this.#watchers.add(wake);
        if (this.#cancelGathering !== undefined) this.#start();
        signal?.addEventListener('abort', wake, { once: true });
      });
    }
  }

  fail(error: EtlError): void {
    this.#failure = error;
    this.#stopGathering();
    this.#wakeWatchers();
  }

  /** Resolves when nothing is being applied any more. Who waits for more is told. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopGathering();
    await this.#running;
    this.fail(this.#failure ?? closedError());
  }

  /** A change of members waits for nothing: who belongs to the cluster is known as soon as can be. */
  #gathers(): boolean {
    if (this.#install !== undefined || this.#watchers.size > 0) return false;
    const { isUnhurried, through } = this.#options;
    const count = through() - this.#applied;
    if (count > gatherMaxEntries || !isUnhurried()) return false;
    const entries = this.#next(gatherMaxBytes);
    return entries.length === count && entries.every(({ type }) => type === 'normal');
  }

  #stopGathering(): void {
    this.#cancelGathering?.();
    this.#cancelGathering = undefined;
  }

  #start(): void {
    this.#stopGathering();
    this.#running ??= this.#run();
  }

  /** Records of one sync are committed in one turn: waiting for it applies them together. */
  async #run(): Promise<void> {
    await Promise.resolve();
    try {
      while (!this.#isClosed && this.#failure === undefined && (await this.#step())) {
        this.#wakeWatchers();
      }
    } catch (error) {
      this.#options.onError(error);
    }
    this.#running = undefined;
    this.#wakeWatchers();
  }

  async #step(): Promise<boolean> {
    const { prepare, onApplied, onInstalled } = this.#options;
    const snapshot = this.#install;
    if (snapshot !== undefined) {
      this.#install = undefined;
      await this.state.install(snapshot);
      this.#applied = snapshot.index;
      onInstalled(snapshot.index);
      return true;
    }
    const entries = this.#next(applyMaxBytes);
    if (entries.length === 0) return false;
    const committed = entries.slice(0, applyMaxEntries).map(prepare);
    const results = await this.state.apply(committed);
    this.#applied = (committed.at(-1) as CommittedEntry).index;
    onApplied(committed, results);
    return true;
  }

  /** What may be applied now, from behind what is. */
  #next(maxBytes: number): readonly Entry[] {
    const { log, through } = this.#options;
    const low = Math.max(this.#applied + 1, log.firstIndex);
    return log.entries(low, Math.max(low, through() + 1), maxBytes);
  }

  #wakeWatchers(): void {
    for (const wake of [...this.#watchers]) wake();
  }
}
