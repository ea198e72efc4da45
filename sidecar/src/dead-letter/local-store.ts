// Dead letters on the local disk: a framed log (storage/frame-log.ts) and an index of it in memory. Bounded in bytes
// and entries; when it is full, whoever wants to add waits until something is discarded or sent again. The log is
// compacted from its oldest segment on, which keeps every removal behind the entry it removes.

import { assert, EtlError } from '@etl-router/core';
import { type Directory, nodeDirectory } from '../storage/directory.ts';
import { type FrameAddress, FrameLog } from '../storage/frame-log.ts';
import {
  decodeEntry,
  decodeFrame,
  type EntryFacts,
  encodeEntry,
  encodeRedrive,
  encodeRemoval,
  type Frame,
} from './frames.ts';
import { type Indexed, LetterIndex } from './letter-index.ts';
import type {
  DeadLetter,
  DeadLetterCounts,
  DeadLetterEntry,
  DeadLetterFilter,
  DeadLetterPage,
  DeadLetterQueue,
  DeadLetterStore,
  RedriveLane,
} from './store.ts';

export interface LocalDeadLetterOptions {
  /** A path, or a directory of another kind for tests. */
  readonly directory: string | Directory;
  /** Live bytes at which appends wait. Default 1 GiB. */
  readonly maxBytes?: number;
  /** Entries at which appends wait. Default 200,000; each takes about 500 bytes of memory. */
  readonly maxEntries?: number;
  /** Default 16 MiB. */
  readonly segmentBytes?: number;
}

/** What an entry takes on disk beside its record, id and message, at most in practice. */
const factsBytes = 1024;

/** Entries in one page of a list. */
const pageMax = 1000;

export class LocalDeadLetterStore implements DeadLetterStore {
  readonly #index = new LetterIndex();
  readonly #maxBytes: number;
  readonly #maxEntries: number;
  readonly #waiting = new Set<() => void>();
  #log: FrameLog | undefined;
  #changing: Promise<unknown> = Promise.resolve();

  private constructor(options: LocalDeadLetterOptions) {
    this.#maxBytes = options.maxBytes ?? 1024 ** 3;
    this.#maxEntries = options.maxEntries ?? 200_000;
  }

  /** Opens the store and reads what is in it. Throws ETL_STORAGE_CORRUPT when it is damaged. */
  static async open(options: LocalDeadLetterOptions): Promise<LocalDeadLetterStore> {
    const store = new LocalDeadLetterStore(options);
    const logOptions = {
      directory:
        typeof options.directory === 'string'
          ? nodeDirectory(options.directory)
          : options.directory,
      segmentBytes: options.segmentBytes ?? 16 * 1024 * 1024,
      what: 'dead letters',
    };
    store.#log = await FrameLog.open(logOptions, (payload, address) => {
      store.#replay(decodeFrame(payload), address);
    });
    store.#index.sort();
    return store;
  }

  get usage(): { readonly bytes: number; readonly maxBytes: number; readonly waiting: number } {
    return { bytes: this.#index.bytes, maxBytes: this.#maxBytes, waiting: this.#waiting.size };
  }

  async append(entries: readonly DeadLetterEntry[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    while (this.#isFull(entries)) await this.#room(signal);
    await this.#serially(async () => {
      const facts = entries.map((entry) => this.#merge(entry));
      const frames = entries.map((entry, index) => {
        const { ordinal, attempts, firstFailureMs } = facts[index] as EntryFacts;
        return encodeEntry({ ...entry, attempts, firstFailureMs }, { ordinal });
      });
      const addresses = await this.#files.append(frames);
      for (const [index, fact] of facts.entries()) {
        this.#index.put(fact, addresses[index] as FrameAddress);
      }
    });
  }

  async list(request: {
    readonly pipelineId: string;
    readonly filter?: DeadLetterFilter;
    readonly first: number;
    readonly after?: number;
  }): Promise<DeadLetterPage> {
    const { pipelineId, filter = {}, first, after = 0 } = request;
    if (!Number.isInteger(first) || first < 1 || first > pageMax) {
      throw new EtlError(
        'ETL_INVALID_ARGUMENT',
        `first: ${first} is not a whole number from 1 to ${pageMax}`,
      );
    }
    const matching = this.#index.match(pipelineId, filter);
    const page = matching.filter(({ ordinal }) => ordinal > after);
    const items = await this.#readAll(page.slice(0, first));
    return {
      items,
      total: matching.length,
      next: page.length > first ? page[first - 1]?.ordinal : undefined,
    };
  }

  async get(pipelineId: string, id: string): Promise<DeadLetter | undefined> {
    const newest = this.#index.match(pipelineId, { ids: [id] }).at(-1);
    if (newest === undefined) return undefined;
    return (await this.#readAll([newest]))[0];
  }

  counts(pipelineId: string): DeadLetterCounts {
    return this.#index.counts(pipelineId);
  }

  count(pipelineId: string, filter: DeadLetterFilter): number {
    return this.#index.match(pipelineId, filter).length;
  }

  redrive(pipelineId: string, filter: DeadLetterFilter): Promise<number> {
    return this.#serially(async () => {
      const chosen = this.#unqueued(pipelineId, filter);
      if (chosen.length === 0) return 0;
      const queued = chosen.map(({ ordinal }) => [ordinal, this.#index.nextRedrive()] as const);
      await this.#files.append([encodeRedrive({ queued })]);
      for (const [ordinal, redrive] of queued) this.#index.queue(ordinal, redrive);
      return chosen.length;
    });
  }

  discard(pipelineId: string, filter: DeadLetterFilter): Promise<number> {
    return this.#serially(async () => {
      const chosen = this.#unqueued(pipelineId, filter);
      await this.#remove(chosen);
      return chosen.length;
    });
  }

  idsOf(
    pipelineId: string,
    lane: { readonly source: string; readonly partition: string },
  ): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
    return this.#serially(async () => this.#index.idsOf(pipelineId, lane));
  }

  redriveLanes(pipelineId: string): readonly RedriveLane[] {
    return this.#index.redriveLanes(pipelineId);
  }

  redriveQueue(pipelineId: string, lane: RedriveLane): DeadLetterQueue {
    return {
      read: (request) =>
        this.#readWithin(
          this.#index
            .queued(pipelineId, lane)
            .filter(({ redrive }) => (redrive as number) > request.after),
          request,
        ),
    };
  }

  queue(pipelineId: string): DeadLetterQueue {
    return {
      read: (request) => this.#readWithin(this.#index.after(pipelineId, request.after), request),
    };
  }

  lastOrdinal(pipelineId: string): number {
    return this.#index.highest(pipelineId);
  }

  async removeRedriven(pipelineId: string, lane: RedriveLane, redrive: number): Promise<void> {
    await this.#serially(() =>
      this.#remove(
        this.#index
          .queued(pipelineId, lane)
          .filter((entry) => (entry.redrive as number) <= redrive),
      ),
    );
  }

  async close(): Promise<void> {
    await this.#changing.catch(() => {});
    await this.#log?.close();
  }

  get #files(): FrameLog {
    assert(this.#log !== undefined, 'the store is open');
    return this.#log;
  }

  #isFull(entries: readonly DeadLetterEntry[]): boolean {
    let bytes = 0;
    for (const { batch, id, message } of entries) {
      bytes += batch.byteLength + id.length + 2 * message.length + factsBytes;
    }
    const { size } = this.#index;
    if (size === 0) return false;
    return this.#index.bytes + bytes > this.#maxBytes || size + entries.length > this.#maxEntries;
  }

  /** Waits until something left the store. */
  #room(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        this.#waiting.delete(finish);
        signal.removeEventListener('abort', finish);
        if (signal.aborted) reject(signal.reason as Error);
        else resolve();
      };
      this.#waiting.add(finish);
      signal.addEventListener('abort', finish, { once: true });
    });
  }

  /** The facts to store: a record that failed before keeps its first failure, and its attempts add up. */
  #merge(given: DeadLetterEntry): EntryFacts {
    const { batch, ...entry } = given;
    assert(batch.count === 1, 'a dead letter is one record');
    const known = this.#index.find(entry.pipelineId, entry.id, entry.stage);
    const ordinal = this.#index.nextOrdinal();
    if (known === undefined) return { ...entry, ordinal };
    const { attempts, firstFailureMs } = known;
    return { ...entry, ordinal, firstFailureMs, attempts: entry.attempts + attempts };
  }

  #unqueued(pipelineId: string, filter: DeadLetterFilter): Indexed[] {
    return this.#index.match(pipelineId, filter).filter(({ redrive }) => redrive === undefined);
  }

  async #remove(entries: readonly Indexed[]): Promise<void> {
    if (entries.length === 0) return;
    const ordinals = entries.map(({ ordinal }) => ordinal);
    const { lastOrdinal, lastRedrive } = this.#index;
    await this.#files.append([encodeRemoval({ ordinals, lastOrdinal, lastRedrive })]);
    for (const ordinal of ordinals) this.#index.remove(ordinal);
    await this.#compact();
    for (const finish of this.#waiting) finish();
  }

  /** Moves what lives in the oldest segments to the end of the log while more than half of the log is dead. */
  async #compact(): Promise<void> {
    const log = this.#files;
    while (log.segments.length > 1 && log.bytes > 2 * this.#index.bytes) {
      const [oldest] = log.segments as [number, ...number[]];
      const living = this.#index.inSegment(oldest);
      const frames: Buffer[] = [];
      for (const letter of await this.#readAll(living)) {
        const { ordinal, redrive } = letter;
        frames.push(encodeEntry(letter, { ordinal, redrive }));
      }
      const { lastOrdinal, lastRedrive } = this.#index;
      frames.push(encodeRemoval({ ordinals: [], lastOrdinal, lastRedrive }));
      const addresses = await log.append(frames);
      for (const [index, { ordinal }] of living.entries()) {
        this.#index.move(ordinal, addresses[index] as FrameAddress);
      }
      await log.drop(oldest);
    }
  }

  async #readWithin(
    entries: Iterable<Indexed>,
    bounds: { readonly maxRecords: number; readonly maxBytes: number },
  ): Promise<readonly DeadLetter[]> {
    const chosen: Indexed[] = [];
    let bytes = 0;
    for (const entry of entries) {
      bytes += entry.address.length;
      if (chosen.length === bounds.maxRecords) break;
      if (chosen.length > 0 && bytes > bounds.maxBytes) break;
      chosen.push(entry);
    }
    return this.#readAll(chosen);
  }

  #readAll(entries: readonly Indexed[]): Promise<DeadLetter[]> {
    return Promise.all(
      entries.map(async ({ address, redrive }) =>
        decodeEntry(await this.#files.read(address), redrive),
      ),
    );
  }

  #replay(frame: Frame, address: FrameAddress): void {
    switch (frame.kind) {
      case 'entry':
        this.#index.put(frame.facts, address);
        return;
      case 'redrive':
        for (const [ordinal, redrive] of frame.facts.queued) this.#index.queue(ordinal, redrive);
        return;
      case 'removal': {
        const { ordinals, lastOrdinal, lastRedrive } = frame.facts;
        for (const ordinal of ordinals) this.#index.remove(ordinal);
        this.#index.skipTo(lastOrdinal, lastRedrive);
      }
    }
  }

  /** Changes one after the other, so that the index and the log never disagree. */
  #serially<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changing.then(change);
    this.#changing = result.catch(() => {});
    return result;
  }
}
