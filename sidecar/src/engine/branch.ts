// One lane's queue before one port, and the loop that empties it. Here an edge's overflow policy acts: while the
// target keeps up, batches wait in memory; when it does not, the lane waits too (block), or what comes goes to disk
// (spill), to the dead letters, or is dropped, and the lane's other branches go on.
// A lane that gets no credit because of this branch alone asks it for relief, and the same happens: a sparse branch
// never fills its own queue, but the one record it holds keeps all behind it in flight.
// States: memory, where the queue is the batcher; spill, where it is on disk and the batcher holds the next few
// frames. Spill begins by writing down all that is unresolved, in order, and ends when all was read back.

import type { BatchPreference, Lane, RecordBatch } from '@etl-router/core';
import type { SpillFrame, SpillQueue } from '../spill/spill-queue.ts';
import { Batcher, type Collected } from './batcher.ts';
import { countUpTo } from './batches.ts';
import type { RunContext } from './context.ts';
import type { EdgeCounters } from './counters.ts';
import type { LaneCredit } from './credits.ts';
import type { Port } from './flow.ts';
import { Undertaker } from './letters.ts';
import type { Ticket } from './tracker.ts';
import { Wake } from './wake.ts';

/** What empties a branch: a sink's writer, or the segment that follows. */
export interface Consumer {
  /** How large a batch to collect; undefined: every batch as it comes. */
  readonly preference: BatchPreference | undefined;
  /**
   * Resolves when the records are stored or given up, or handed on, in which case the tickets are held by whoever
   * has them now.
   */
  consume(batch: RecordBatch, tickets: readonly Ticket[]): Promise<void>;
  /**
   * What of a batch the target does not hold already: a record that it holds must not be dead-lettered. `isKnown` is
   * false until the target could be asked.
   */
  unheld?(batch: RecordBatch): {
    readonly isKnown: boolean;
    readonly left: RecordBatch | undefined;
  };
  /** What fails from here on is dead-lettered instead of waited out, until a call succeeds. */
  giveUp?(): void;
}

/** When a branch counts as full. Changes with the number of lanes. */
export interface BranchBounds {
  readonly maxRecords: number;
  readonly maxBytes: number;
}

export interface BranchOptions {
  readonly context: RunContext;
  readonly port: Port;
  readonly lane: Lane;
  readonly epoch: number;
  readonly credit: LaneCredit;
  readonly bounds: () => BranchBounds;
  readonly consumer: Consumer;
  readonly spill: SpillQueue | undefined;
  readonly signal: AbortSignal;
  /** A ticket was released, or the queue got shorter. */
  readonly onProgress: () => void;
}

/** A batch in the branch. It is the ticket of all that is made of it further down. */
class Item implements Ticket {
  readonly batch: RecordBatch;
  readonly charged: number;
  parent: Ticket | undefined;
  frame: SpillFrame | undefined;
  readonly #onSettled: (item: Item) => void;
  #holds = 1;

  constructor(
    batch: RecordBatch,
    owner: {
      readonly parent?: Ticket | undefined;
      readonly frame?: SpillFrame;
      readonly charged: number;
    },
    onSettled: (item: Item) => void,
  ) {
    this.batch = batch;
    this.parent = owner.parent;
    this.frame = owner.frame;
    this.charged = owner.charged;
    this.#onSettled = onSettled;
  }

  get isSettled(): boolean {
    return this.#holds === 0;
  }

  hold(): void {
    this.#holds++;
  }

  release(): void {
    if (--this.#holds === 0) this.#onSettled(this);
  }
}

/** How soon a target is asked again that could not say what it holds. */
const buryRetryMs = 500;

export class Branch {
  readonly #options: BranchOptions;
  readonly #counters: EdgeCounters;
  readonly #batcher = new Batcher<Item>();
  readonly #undertaker: Undertaker;
  readonly #work = new Wake();
  readonly #room = new Wake();
  /** Everything unresolved that is in memory, oldest first, the waiting items included. */
  readonly #items = new Set<Item>();
  #spill: SpillQueue | undefined;
  #isSpilling: boolean;
  #appending = 0;
  #records = 0;
  #bytes = 0;
  #nextSequence = 0;
  #fullSinceMs: number | undefined;
  #flushes = false;
  #done: Promise<void> | undefined;

  constructor(options: BranchOptions) {
    const { context, port, spill, signal } = options;
    this.#options = options;
    this.#counters = context.counters.edge(port.from, port.stage.name);
    this.#undertaker = new Undertaker(context, port.stage, signal);
    this.#spill = spill;
    this.#isSpilling = spill !== undefined;
    this.#countSpill(spill?.bytes ?? 0, 0);
    spill?.onRoom(() => this.#room.wake());
    signal.addEventListener('abort', () => this.#wakeAll(), { once: true });
  }

  get port(): Port {
    return this.#options.port;
  }

  /** Unresolved records in memory. */
  get records(): number {
    return this.#records;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Nothing in memory that only this process knows: what is spilled may wait. */
  get isQuiet(): boolean {
    for (const { frame } of this.#items) if (frame === undefined) return false;
    return this.#appending === 0;
  }

  /** Nothing at all to do. */
  get isEmpty(): boolean {
    return this.#items.size === 0 && this.#appending === 0 && (this.#spill?.isEmpty ?? true);
  }

  /** Runs until the lane ends; rejects with what ended it. */
  start(): Promise<void> {
    this.#done ??= this.#run();
    return this.#done;
  }

  /** Sends what waits, without waiting for more: the source has nothing, or no credit. */
  flush(): void {
    if (this.#batcher.records === 0) return;
    this.#flushes = true;
    this.#work.wake();
  }

  /** Whether this branch is one of those that keep `ticket` from being resolved. */
  holds(ticket: Ticket): boolean {
    for (const { parent } of this.#items) if (parent !== undefined) return parent === ticket;
    return false;
  }

  /** The lane stands still because of this branch: the policy acts on what is in the queue. */
  async relieve(): Promise<void> {
    const { policy, spillMaxBytes } = this.port.overflow;
    if (this.#isSpilling || this.#appending > 0 || this.#items.size === 0) return;
    if (policy === 'spill' && this.#bytes <= spillMaxBytes) await this.#beginSpill();
    if (policy !== 'deadLetter') return;
    this.#options.consumer.giveUp?.();
    for (const item of this.#batcher.clearUntouched()) {
      if (await this.#bury(item.batch)) item.release();
      else this.#batcher.add(item, this.#options.context.clock.monotonicMs());
    }
  }

  /**
   * Takes a batch in, its ticket held once more until it is resolved here. `isShared`: its memory is accounted for
   * by its ticket. Waits while the policy says so. Calls never overlap.
   */
  offer(batch: RecordBatch, ticket: Ticket | undefined, isShared: boolean): void | Promise<void> {
    const fresh = this.#leaveOutSpilled(batch);
    if (fresh === undefined) return undefined;
    const { required, overflow } = this.port;
    const parent = required && overflow.policy !== 'drop' ? ticket : undefined;
    if (!this.#isSpilling && !this.#isFull()) {
      this.#enqueue(fresh, parent, isShared && parent !== undefined && fresh === batch);
      return undefined;
    }
    return this.#offerWhenFull(fresh, parent);
  }

  async #offerWhenFull(batch: RecordBatch, parent: Ticket | undefined): Promise<void> {
    const { clock } = this.#options.context;
    const startedMs = clock.monotonicMs();
    try {
      while (!(await this.#place(batch, parent))) this.#options.signal.throwIfAborted();
    } finally {
      this.#counters.blockedMs += clock.monotonicMs() - startedMs;
    }
  }

  /** Finds a place for a batch, or waits for something to change and says false. */
  async #place(batch: RecordBatch, parent: Ticket | undefined): Promise<boolean> {
    const { clock } = this.#options.context;
    const { policy, afterMs, spillMaxBytes } = this.port.overflow;
    this.#options.signal.throwIfAborted();
    if (this.#isSpilling) {
      if ((this.#spill as SpillQueue).bytes + batch.byteLength > spillMaxBytes) {
        await this.#room.wait();
        return false;
      }
      await this.#append([batch], []);
      return true;
    }
    if (!this.#isFull()) {
      this.#enqueue(batch, parent, false);
      return true;
    }
    this.#fullSinceMs ??= clock.monotonicMs();
    const waitMs = this.#fullSinceMs + afterMs - clock.monotonicMs();
    if (policy === 'block') {
      await this.#room.wait();
      return false;
    }
    if (waitMs > 0) {
      await this.#room.waitFor(clock, waitMs);
      return false;
    }
    if (policy === 'drop') {
      this.#counters.dropped += batch.count;
      this.#options.context.counters.stage(this.port.stage.name).dropped += batch.count;
      return true;
    }
    if (policy === 'deadLetter') {
      if (await this.#bury(batch)) return true;
      await this.#room.waitFor(clock, buryRetryMs);
      return false;
    }
    if (this.#bytes + batch.byteLength > spillMaxBytes) {
      await this.#room.wait();
      return false;
    }
    await this.#beginSpill(batch);
    return true;
  }

  async #run(): Promise<void> {
    const { consumer, signal } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      const collected = await this.#next();
      if (collected === undefined) continue;
      await consumer.consume(collected.batch, collected.completes);
      for (const item of collected.completes) item.release();
    }
  }

  /** The next batch that is worth a call; waits for something to change and returns undefined when none is. */
  async #next(): Promise<Collected<Item> | undefined> {
    const { context, consumer } = this.#options;
    const { clock } = context;
    const { preference } = consumer;
    const seen = this.#work.version;
    if (this.#isSpilling && (await this.#readSpill())) return undefined;
    const nowMs = clock.monotonicMs();
    if (this.#batcher.records === 0) {
      this.#flushes = false;
      await this.#work.wait(seen);
      return undefined;
    }
    if (preference === undefined) return this.#batcher.takeItem();
    const bounded = this.#bounded(preference);
    const dueAtMs = this.#batcher.dueAtMs(bounded) as number;
    if (this.#flushes || dueAtMs <= nowMs || this.#batcher.isFull(bounded)) {
      return this.#batcher.take(bounded, nowMs);
    }
    await this.#work.waitFor(clock, dueAtMs - nowMs);
    return undefined;
  }

  /** Half of what the lane may hold is enough for one write; the other half collects meanwhile. */
  #bounded(preference: BatchPreference): BatchPreference {
    const bounds = this.#options.bounds();
    return {
      maxRecords: Math.max(1, Math.min(preference.maxRecords, Math.ceil(bounds.maxRecords / 2))),
      maxBytes: Math.max(1, Math.min(preference.maxBytes, Math.ceil(bounds.maxBytes / 2))),
      maxWaitMs: preference.maxWaitMs,
    };
  }

  /** Reads one frame back while there is room for it; false when the batcher is to be emptied first. */
  async #readSpill(): Promise<boolean> {
    const spill = this.#spill as SpillQueue;
    const { preference } = this.#options.consumer;
    const wanted = preference === undefined ? undefined : this.#bounded(preference);
    if (wanted === undefined ? this.#batcher.records > 0 : this.#batcher.isFull(wanted))
      return false;
    if (spill.unread > 0) {
      const { lane, epoch } = this.#options;
      if (this.#isFull()) return false;
      const read = await spill.read();
      if (read === undefined) return true;
      const batch = this.#renumber(read.batch, { lane, epoch });
      this.#add(new Item(batch, { frame: read.frame, charged: batch.byteLength }, this.#settle));
      return true;
    }
    this.#flushes = true;
    if (this.#batcher.records > 0) return false;
    if (this.#appending > 0) {
      await this.#work.wait();
      return true;
    }
    this.#isSpilling = false;
    this.#fullSinceMs = undefined;
    this.#room.wake();
    return true;
  }

  async #beginSpill(arriving?: RecordBatch): Promise<void> {
    const { context, lane } = this.#options;
    this.#isSpilling = true;
    this.#spill ??= this.#createSpill();
    const waiting = new Set(this.#batcher.clearUntouched());
    const busy = [...this.#items].filter((item) => !waiting.has(item) && item.frame === undefined);
    context.logger.warn({ edge: this.port.id, partition: lane.partition }, 'edge spills to disk');
    const batches = [...busy, ...waiting].map((item) => item.batch);
    if (arriving !== undefined) batches.push(arriving);
    await this.#append(batches, busy);
    for (const item of waiting) item.release();
  }

  #createSpill(): SpillQueue {
    const { context, lane } = this.#options;
    const { source, partition } = lane;
    const spill = context.spills.create({ edge: this.port.id, source, partition });
    spill.onRoom(() => this.#room.wake());
    return spill;
  }

  async #append(batches: readonly RecordBatch[], busy: readonly Item[]): Promise<void> {
    this.#options.signal.throwIfAborted();
    const spill = this.#spill as SpillQueue;
    const before = spill.bytes;
    this.#appending++;
    try {
      const frames = await spill.append(batches, busy.length);
      for (const [index, item] of busy.entries()) {
        const frame = frames[index] as SpillFrame;
        if (item.isSettled) spill.release(frame);
        else {
          item.frame = frame;
          item.parent?.release();
          item.parent = undefined;
        }
      }
      let records = 0;
      for (const batch of batches) records += batch.count;
      this.#countSpill(spill.bytes - before, records);
    } finally {
      this.#appending--;
      this.#work.wake();
    }
  }

  #enqueue(batch: RecordBatch, parent: Ticket | undefined, isShared: boolean): void {
    parent?.hold();
    const charged = isShared ? 0 : batch.byteLength;
    this.#add(new Item(batch, { parent, charged }, this.#settle));
    this.#fullSinceMs = undefined;
    this.#work.wake();
  }

  #add(item: Item): void {
    const { batch, charged } = item;
    this.#items.add(item);
    this.#records += batch.count;
    this.#bytes += batch.byteLength;
    this.#counters.inFlightRecords += batch.count;
    this.#counters.inFlightBytes += batch.byteLength;
    if (charged > 0) this.#options.credit.charge(charged);
    this.#batcher.add(item, this.#options.context.clock.monotonicMs());
  }

  readonly #settle = (item: Item): void => {
    const { batch, charged, frame, parent } = item;
    this.#items.delete(item);
    this.#records -= batch.count;
    this.#bytes -= batch.byteLength;
    this.#counters.inFlightRecords -= batch.count;
    this.#counters.inFlightBytes -= batch.byteLength;
    if (charged > 0 && !this.#options.signal.aborted) {
      this.#options.credit.release(0, charged);
    }
    if (frame !== undefined) {
      const spill = this.#spill as SpillQueue;
      const before = spill.bytes;
      spill.release(frame);
      this.#countSpill(spill.bytes - before, 0);
    }
    parent?.release();
    this.#room.wake();
    this.#work.wake();
    this.#options.onProgress();
  };

  /** Dead-letters what the target does not hold; false while it can not be asked. */
  async #bury(batch: RecordBatch): Promise<boolean> {
    const { isKnown, left } = this.#options.consumer.unheld?.(batch) ?? {
      isKnown: true,
      left: batch,
    };
    if (!isKnown || left === undefined) return isKnown;
    const nowMs = this.#options.context.clock.wallMs();
    const message = `the edge ${this.port.id} was full and its overflow policy is deadLetter`;
    const letters = Array.from({ length: left.count }, (_, index) => ({
      index,
      code: 'OVERFLOW',
      message,
      attempts: 0,
      firstFailureMs: nowMs,
    }));
    await this.#undertaker.bury(left, letters);
    this.#counters.deadLettered += left.count;
    return true;
  }

  #isFull(): boolean {
    if (this.#records === 0) return false;
    const bounds = this.#options.bounds();
    return this.#records >= bounds.maxRecords || this.#bytes >= bounds.maxBytes;
  }

  /** What a restart reads again and the spill holds already. */
  #leaveOutSpilled(batch: RecordBatch): RecordBatch | undefined {
    const held = this.#spill?.lastPosition;
    if (held === undefined) return batch;
    const count = countUpTo(batch, held);
    if (count === 0) return batch;
    this.#options.context.counters.stage(this.port.stage.name).duplicatesSuppressed += count;
    return count === batch.count ? undefined : batch.slice(count, batch.count);
  }

  /** Sequences that go on from frame to frame, as joining batches needs; those of one position stay equal. */
  #renumber(batch: RecordBatch, header: { lane: Lane; epoch: number }): RecordBatch {
    const firstSequence = this.#nextSequence;
    const first = batch.sequence(0);
    this.#nextSequence += batch.sequence(batch.count - 1) - first + 1;
    const offsets = batch.header.sequenceOffsets?.map((_, index) => batch.sequence(index) - first);
    return batch.withHeader({ ...header, firstSequence, sequenceOffsets: offsets });
  }

  #countSpill(bytes: number, records: number): void {
    this.#counters.spillBytes += bytes;
    this.#counters.spilledRecords += records;
  }

  #wakeAll(): void {
    this.#work.wake();
    this.#room.wake();
  }
}
