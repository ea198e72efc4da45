// Hands committed entries to the state, one piece after the other, and installs snapshots between them. The state may
// take its time: consensus goes on meanwhile.

import type { EtlError } from '@etl-router/core';
import { abandoned, closedError } from '../consensus/aborted.ts';
import type { CommittedEntry, ReplicatedState } from '../consensus/consensus.ts';
import type { Entry, LogPosition } from '../storage/log-types.ts';

export interface ApplierOptions {
  readonly state: ReplicatedState;
  readonly applied: number;
  /** What may be applied now, from behind what is. */
  readonly next: () => { readonly through: number; readonly entries: readonly Entry[] };
  /** Called in order, before an entry is applied. */
  readonly prepare: (entry: Entry) => CommittedEntry;
  readonly onApplied: (entries: readonly CommittedEntry[], results: readonly Uint8Array[]) => void;
  readonly onInstalled: (index: number) => void;
  readonly onError: (error: unknown) => void;
}

/** Entries handed to the state at a time. */
const applyMaxEntries = 512;

export class Applier {
  readonly state: ReplicatedState;
  readonly #options: ApplierOptions;
  #applied: number;
  #install: LogPosition | undefined;
  #running: Promise<void> | undefined;
  #failure: EtlError | undefined;
  #isClosed = false;
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
    if (this.#isClosed || this.#failure !== undefined) return;
    this.#running ??= this.#run();
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
        signal?.addEventListener('abort', wake, { once: true });
      });
    }
  }

  fail(error: EtlError): void {
    this.#failure = error;
    this.#wakeWatchers();
  }

  /** Resolves when nothing is being applied any more. Who waits for more is told. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
    this.fail(this.#failure ?? closedError());
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
    const { next, prepare, onApplied, onInstalled } = this.#options;
    const snapshot = this.#install;
    if (snapshot !== undefined) {
      this.#install = undefined;
      await this.state.install(snapshot);
      this.#applied = snapshot.index;
      onInstalled(snapshot.index);
      return true;
    }
    const { entries } = next();
    if (entries.length === 0) return false;
    const committed = entries.slice(0, applyMaxEntries).map(prepare);
    const results = await this.state.apply(committed);
    this.#applied = (committed.at(-1) as CommittedEntry).index;
    onApplied(committed, results);
    return true;
  }

  #wakeWatchers(): void {
    for (const wake of [...this.#watchers]) wake();
  }
}
