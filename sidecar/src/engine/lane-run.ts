// Runs one lane under one epoch: reads within its credit, numbers what it read, takes it through the graph and into
// the branches, and knows how far the lane is resolved. Waves (one read each) may overlap in asynchronous transforms;
// they enter the branches in the order in which they were read.

import { EtlError, type Lane, type RecordBatch, sleep } from '@etl-router/core';
import type { Stage } from '@etl-router/pipeline';
import type { SpillQueue } from '../spill/spill-queue.ts';
import { numberBatch } from './batches.ts';
import { Branch, type BranchBounds, type Consumer } from './branch.ts';
import type { RunContext } from './context.ts';
import type { LaneSnapshot, StageCounters } from './counters.ts';
import { type CreditLimits, type CreditRequest, LaneCredit } from './credits.ts';
import type { Flow, Port } from './flow.ts';
import { LaneReader, type PartitionOpener } from './lane-reader.ts';
import { type Buried, leaveOutBuried } from './letters.ts';
import type { Output, SegmentRunner } from './segment-runner.ts';
import { Timekeeper } from './timekeeper.ts';
import { LaneTracker, type Ticket } from './tracker.ts';
import type { Passage } from './transform-runner.ts';
import { Wake, yieldToLoop } from './wake.ts';
import { LaneWatermark } from './watermark.ts';

/** Waves that may be in asynchronous transforms at once. */
const maxWaves = 4;
/** Waits of an idle source, from the first to the longest. */
const idleWait = { firstMs: 5, longestMs: 200 };
/** How long a lane goes without credit before its branches' overflow policies act. */
const reliefMs = 500;
/** The largest single read, so that other lanes and the event loop have their turn. */
const readMax = { records: 2000, bytes: 4 * 1024 * 1024 };

export interface LaneRunOptions {
  readonly context: RunContext;
  readonly lane: Lane;
  readonly epoch: number;
  readonly position: Uint8Array | undefined;
  readonly watermarkMs: number | undefined;
  /** The stage that reads; for lanes of dead letters, the one they are sent to. */
  readonly stage: Stage;
  readonly flow: Flow;
  readonly segments: ReadonlyMap<Port | undefined, SegmentRunner>;
  /** What lies on disk before the ports. */
  readonly spills: ReadonlyMap<Port, SpillQueue>;
  /** The lane's dead letters: what comes again of them is left out. */
  readonly buried: Buried;
  /** Makes the writer of a sink. */
  readonly writer: (stage: Stage, signal: AbortSignal) => Consumer;
  /** Opens the partition; undefined for a lane that only empties its spills. */
  readonly open: PartitionOpener | undefined;
  /** A source's own lane; false for lanes of dead letters, which neither count as read nor as late. */
  readonly isSource: boolean;
  readonly share: () => CreditLimits;
  readonly edgeBounds: (port: Port) => BranchBounds;
  /** Resolves while the pipeline is not paused. */
  readonly gate: () => Promise<void> | undefined;
  readonly pipelineWatermarkMs: () => number | undefined;
  /** At-most-once: makes a position durable before its records are delivered. */
  readonly commitFirst:
    | ((run: LaneRun, position: Uint8Array, signal: AbortSignal) => Promise<void>)
    | undefined;
  readonly onProgress: () => void;
}

export class LaneRun {
  readonly lane: Lane;
  readonly epoch: number;
  readonly watermark: LaneWatermark;
  readonly credit: LaneCredit;
  readonly #options: LaneRunOptions;
  readonly #context: RunContext;
  readonly #abort = new AbortController();
  readonly #stopReading = new AbortController();
  readonly #tracker: LaneTracker;
  readonly #branches = new Map<Port, Branch>();
  readonly #credited = new Wake();
  readonly #timekeeper: Timekeeper | undefined;
  readonly #passage: Passage;
  readonly #canRelieve: boolean;
  readonly #source: StageCounters | undefined;
  readonly #reader: LaneReader | undefined;
  readonly #waveDone = new Wake();
  #committed: Uint8Array | undefined;
  #tail: Promise<void> | undefined;
  #waves = 0;
  /** No credit or nothing more to read: what enters a branch is sent without waiting for more. */
  #isEager = false;
  #isEnded = false;
  readonly #ended: PromiseWithResolvers<void> = Promise.withResolvers<void>();

  constructor(options: LaneRunOptions) {
    this.#options = options;
    this.#context = options.context;
    this.lane = options.lane;
    this.epoch = options.epoch;
    this.credit = new LaneCredit(options.context.budget);
    this.watermark = new LaneWatermark(options.watermarkMs, options.context.clock.monotonicMs());
    this.#tracker = new LaneTracker(({ count, bytes, readAtMs }) => {
      this.watermark.pop();
      if (this.#abort.signal.aborted) return;
      this.credit.release(count, bytes);
      if (readAtMs !== undefined) {
        this.#source?.latency?.add(count, options.context.clock.monotonicMs() - readAtMs);
      }
      options.onProgress();
    });
    this.#passage = { signal: this.#abort.signal, buried: options.buried };
    this.#committed = options.position;
    const { context, stage, lane, position, open, pipelineWatermarkMs } = options;
    const { signal } = this.#abort;
    if (open !== undefined) {
      this.#reader = new LaneReader({ context, lane, stage, open, position, signal });
    }
    if (options.isSource) {
      this.#source = context.counters.stage(stage.name);
      const { watermark } = this;
      this.#timekeeper = new Timekeeper({ context, stage, watermark, pipelineWatermarkMs, signal });
    }
    this.#canRelieve = options.flow.ports.some(({ overflow }) => overflow.policy !== 'block');
    for (const port of options.flow.ports) this.#branches.set(port, this.#createBranch(port));
  }

  /** What is resolved and not committed yet. */
  get committable(): Uint8Array | undefined {
    const { position } = this.#tracker;
    return position === this.#committed || this.#options.commitFirst !== undefined
      ? undefined
      : position;
  }

  /** What the router holds. */
  get committedPosition(): Uint8Array | undefined {
    return this.#committed;
  }

  /** The source said that nothing will ever follow. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Nothing in flight that a restart would have to read again. */
  get isQuiet(): boolean {
    if (this.#waves > 0 || this.#tracker.ranges > 0) return false;
    for (const branch of this.#branches.values()) if (!branch.isQuiet) return false;
    return true;
  }

  /** All that was read is resolved and committed, spills and branches that are not required included. */
  get isDone(): boolean {
    if (this.#waves > 0 || this.#tracker.ranges > 0 || this.committable !== undefined) return false;
    for (const branch of this.#branches.values()) if (!branch.isEmpty) return false;
    return true;
  }

  /** Runs until the lane is aborted; rejects with what it can not go on from, such as ETL_FENCED. */
  async run(): Promise<void> {
    const fail = (error: unknown): void => this.#ended.reject(error);
    for (const branch of this.#branches.values()) branch.start().catch(fail);
    this.#readAll().catch(fail);
    try {
      await this.#ended.promise;
    } finally {
      this.abort();
      await this.#reader?.close();
    }
  }

  /** Stops reading; what is in flight goes on. */
  stopReading(): void {
    this.#stopReading.abort(new EtlError('ETL_CANCELLED', 'the lane stops reading'));
    this.#isEager = true;
    this.#credited.wake();
    this.#waveDone.wake();
    this.flush();
  }

  /** Ends a lane of which nothing is in flight; a bug if something is. */
  close(): void {
    if (!this.#abort.signal.aborted) this.#tracker.close();
    this.abort();
  }

  /** Ends the lane now and drops its buffers. Nothing that is unresolved was committed. */
  abort(): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort(new EtlError('ETL_CANCELLED', 'the lane was stopped'));
    this.stopReading();
    this.#ended.resolve();
    this.credit.close();
    this.#context.credits.serve();
  }

  /** Sends what waits in the branches without waiting for more. */
  flush(): void {
    for (const branch of this.#branches.values()) branch.flush();
  }

  /** The position is durable: tells the source, which may forget what is before. */
  async committed(position: Uint8Array): Promise<void> {
    this.#committed = position;
    await this.#reader?.acknowledge(position);
    this.#context.failpoints.hit('source.acknowledge.after');
  }

  snapshot(): LaneSnapshot {
    const lag = this.#reader?.lag();
    const { source, partition } = this.lane;
    return {
      source,
      partition,
      epoch: this.epoch,
      position: this.#committed,
      inFlightRecords: this.#tracker.records,
      inFlightBytes: this.#tracker.bytes,
      lagRecords: lag?.records,
      lagBytes: lag?.bytes,
      watermarkMs: this.watermark.valueMs,
      ended: this.#isEnded,
    };
  }

  #createBranch(port: Port): Branch {
    const { context, lane, epoch, segments, spills, writer, edgeBounds, onProgress } =
      this.#options;
    const { signal } = this.#abort;
    return new Branch({
      context,
      port,
      lane,
      epoch,
      credit: this.credit,
      bounds: () => edgeBounds(port),
      consumer:
        port.segment === undefined
          ? writer(port.stage, signal)
          : this.#passOn(segments.get(port) as SegmentRunner),
      spill: spills.get(port),
      signal,
      onProgress,
    });
  }

  /** A branch before a segment: takes each batch through it and hands the outputs on. */
  #passOn(segment: SegmentRunner): Consumer {
    return {
      preference: undefined,
      consume: async (batch, [ticket]) => {
        const outputs = await segment.run(batch, this.#passage);
        await this.#deliver(outputs, { ticket, batch });
      },
    };
  }

  async #readAll(): Promise<void> {
    const { gate } = this.#options;
    let idleMs = 0;
    const reader = this.#reader;
    const stopping = this.#stopReading.signal;
    while (!stopping.aborted && reader !== undefined) {
      const gated = gate();
      if (gated !== undefined) await gated;
      if (!(await this.#acquire())) break;
      const batch = await reader.read(this.credit.available, stopping);
      if (batch === 'end') break;
      if (batch !== undefined) {
        idleMs = 0;
        await this.#startWave(batch, reader.position as Uint8Array);
        await yieldToLoop();
        continue;
      }
      this.credit.returnUnread();
      this.#context.credits.serve();
      idleMs = Math.min(idleWait.longestMs, Math.max(idleWait.firstMs, idleMs * 2));
      await this.#rest(idleMs);
    }
    this.credit.returnUnread();
    this.#isEnded = !stopping.aborted;
    this.#isEager = true;
    this.flush();
    this.#options.onProgress();
  }

  /** Waits for credit; false when reading was stopped meanwhile. */
  async #acquire(): Promise<boolean> {
    while (this.#waves >= maxWaves && !this.#stopReading.signal.aborted) {
      await this.#waveDone.wait();
    }
    const { credit } = this;
    const share = this.#options.share();
    const want = {
      records: Math.min(readMax.records, Math.ceil(share.maxRecords / 2)),
      bytes: Math.min(readMax.bytes, Math.ceil(share.maxBytes / 2)),
    };
    if (credit.grant(want, share)) return true;
    this.#isEager = true;
    this.flush();
    let isGranted = false;
    const request: CreditRequest = {
      lane: credit,
      want,
      share,
      onGranted: () => {
        isGranted = true;
        this.#credited.wake();
      },
    };
    this.#context.credits.add(request);
    const startedMs = this.#context.clock.monotonicMs();
    while (!isGranted && !this.#stopReading.signal.aborted) {
      if (this.#canRelieve) await this.#credited.waitFor(this.#context.clock, reliefMs);
      else await this.#credited.wait();
      if (!isGranted) await this.#relieve(startedMs);
    }
    this.#isEager = this.#stopReading.signal.aborted;
    if (!isGranted) this.#context.credits.remove(request);
    return !this.#stopReading.signal.aborted;
  }

  /** Lets the overflow policies act when only branches that have one keep the lane from getting credit. */
  async #relieve(sinceMs: number): Promise<void> {
    const { front } = this.#tracker;
    if (front === undefined) return;
    const guilty = [...this.#branches.values()].filter((branch) => branch.holds(front));
    const waitedMs = this.#context.clock.monotonicMs() - sinceMs;
    const mayAct = ({ port: { overflow } }: Branch): boolean =>
      overflow.policy !== 'block' && waitedMs >= Math.max(reliefMs, overflow.afterMs);
    if (!guilty.every(mayAct)) return;
    for (const branch of guilty) await branch.relieve();
  }

  /** Numbers a batch and takes it through the root segment. Resolves when the next may be read. */
  async #startWave(read: RecordBatch, position: Uint8Array): Promise<void> {
    const { lane, epoch } = this;
    const { segments, commitFirst } = this.#options;
    const firstSequence = this.#tracker.nextSequence;
    const batch = numberBatch(read, { lane, epoch, firstSequence });
    const { count, byteLength } = batch;
    this.credit.read(count, byteLength);
    this.credit.returnUnread();
    const readAtMs = this.#context.clock.monotonicMs();
    const range = { firstSequence, count, bytes: byteLength, position, readAtMs };
    const ticket = this.#tracker.add(range);
    if (this.#source !== undefined) {
      this.#source.recordsOut += count;
      this.#source.bytesOut += byteLength;
    }
    const timely = this.#takeTime(batch);
    if (commitFirst !== undefined) await commitFirst(this, position, this.#abort.signal);
    const segment = segments.get(undefined) as SegmentRunner;
    const pass = (left: RecordBatch | undefined): readonly Output[] | Promise<readonly Output[]> =>
      left === undefined ? [] : segment.run(left, this.#passage);
    await this.#enter(timely instanceof Promise ? timely.then(pass) : pass(timely), {
      ticket,
      batch,
    });
  }

  /** What of a read goes on: what is not dead-lettered already, and not too late. */
  #takeTime(batch: RecordBatch): RecordBatch | undefined | Promise<RecordBatch | undefined> {
    const { buried, stage } = this.#options;
    const fresh = this.#timekeeper && leaveOutBuried(batch, buried.get(stage.name));
    if (fresh !== undefined && this.#timekeeper !== undefined) return this.#timekeeper.take(fresh);
    this.watermark.push(undefined, this.#context.clock.monotonicMs());
    return this.#timekeeper === undefined ? batch : undefined;
  }

  /** Hands outputs to the branches after those of all earlier waves. */
  async #enter(
    outputs: readonly Output[] | Promise<readonly Output[]>,
    wave: { readonly ticket: Ticket; readonly batch: RecordBatch },
  ): Promise<void> {
    if (!(outputs instanceof Promise) && this.#waves === 0) {
      const delivered = this.#deliver(outputs, wave);
      if (delivered !== undefined) await delivered;
      wave.ticket.release();
      return;
    }
    this.#waves++;
    const before = this.#tail;
    const finish = async (): Promise<void> => {
      const settled = await outputs;
      await before;
      await this.#deliver(settled, wave);
      wave.ticket.release();
      this.#waves--;
      this.#waveDone.wake();
      if (this.#waves === 0) this.#options.onProgress();
    };
    this.#tail = finish();
    this.#tail.catch((error: unknown) => this.#ended.reject(error));
  }

  #deliver(
    outputs: readonly Output[],
    wave: { readonly ticket: Ticket | undefined; readonly batch: RecordBatch },
  ): void | Promise<void> {
    for (const [index, { port, batch }] of outputs.entries()) {
      const branch = this.#branches.get(port) as Branch;
      const offered = branch.offer(batch, wave.ticket, batch.bytes === wave.batch.bytes);
      if (offered === undefined) continue;
      return offered.then(() => this.#deliver(outputs.slice(index + 1), wave));
    }
    if (this.#isEager) this.flush();
    return undefined;
  }

  async #rest(delayMs: number): Promise<void> {
    await sleep(this.#context.clock, delayMs, this.#stopReading.signal).catch(() => {});
  }
}
