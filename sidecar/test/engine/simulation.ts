// Runs the production engine on a simulated clock, disk, router and outside systems, with faults and crashes drawn
// from one seed, and then asks the outside systems whether anything was lost, doubled or reordered. A crash drops
// everything a process knows: only the disk (what was synced), the router and the tables survive. Calls that a dead
// process had under way may still take effect, as in reality.

import {
  EtlError,
  ManualClock,
  type Random,
  type Sink,
  seededRandom,
  silentLogger,
} from '@etl-router/core';
import type { Pipeline } from '@etl-router/pipeline';
import type { ControlPlane } from '../../src/control-plane.ts';
import type { DeadLetterStore } from '../../src/dead-letter/store.ts';
import { LocalDeadLetterStore, Sidecar, SpillStore } from '../../src/index.ts';
import {
  MemoryControlPlane,
  MemoryDisk,
  MemorySink,
  type MemorySinkKind,
  MemorySource,
  MemoryTable,
  MemoryTopic,
  MemoryTransform,
  testPipeline,
  testStages,
} from '../../src/testing.ts';
import {
  baseOf,
  drawShape,
  drawTableFault,
  expectedOf,
  type Fate,
  failsAndTimesOut,
  Life,
  mayBuryDelivered,
  mayDrop,
  mayOvertake,
  type Shape,
} from './simulation-model.ts';

export interface SimulationResult {
  readonly seed: number;
  readonly faults: readonly string[];
  readonly crashes: number;
  readonly delivered: number;
  readonly deadLettered: number;
  readonly duplicates: number;
  readonly spilled: number;
}

/** Lets a test plant a bug. */
export interface Sabotage {
  readonly deadLetters?: (store: DeadLetterStore) => DeadLetterStore;
  readonly sink?: (sink: Sink) => Sink;
  readonly disk?: (disk: MemoryDisk) => void;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class Simulation {
  readonly random: Random;
  readonly clock = new ManualClock(1_700_000_000_000);
  readonly topic = new MemoryTopic();
  readonly tables = new Map<string, MemoryTable>();
  readonly controlPlane = new MemoryControlPlane();
  readonly disk = new MemoryDisk();
  readonly pipeline: Pipeline;
  readonly shape: Shape;
  readonly faults: string[] = [];
  readonly #seed: number;
  readonly #sabotage: Sabotage;
  #life: Life | undefined;
  #deadLetters: DeadLetterStore | undefined;
  #crashes = 0;
  #mayDouble = false;
  #mayReorder = false;
  #isHealed = false;
  #isCured = false;
  #spilled = 0;
  #outcome: string | undefined;

  constructor(seed: number, sabotage: Sabotage = {}) {
    this.#seed = seed;
    this.#sabotage = sabotage;
    this.random = seededRandom(seed);
    this.shape = drawShape(this.random);
    this.pipeline = this.#drawPipeline();
    this.#drawRecords();
    sabotage.disk?.(this.disk);
  }

  async run(): Promise<SimulationResult> {
    this.controlPlane.assign(this.pipeline);
    await this.#startLife();
    const rounds = 1 + this.random.below(5);
    for (let round = 0; round < rounds; round++) {
      this.#injectFault();
      await this.#pass(this.random.below(900));
      if (this.random.next() < 0.6) await this.#crash();
      else if (this.random.next() < 0.2) await this.#restart();
    }
    this.#heal();
    await this.#untilCompleted('after healing');
    await this.#check();
    if (this.random.next() < 0.5) await this.#redriveAll();
    await this.#life?.sidecar.abort();
    return this.#result();
  }

  #drawPipeline(): Pipeline {
    const { random, shape } = this;
    for (const [name, kind] of Object.entries(shape.stages)) {
      if (kind !== 'sink') continue;
      const kinds: readonly MemorySinkKind[] = ['append', 'keyed', 'transactional'];
      const table = new MemoryTable(kinds[random.below(3)]);
      table.preference = {
        maxRecords: 1 + random.below(60),
        maxBytes: 100 + random.below(5000),
        maxWaitMs: random.below(60),
      };
      table.onRecord = (payload) => this.#onRecord(payload);
      this.tables.set(name, table);
    }
    return testPipeline({
      stages: shape.stages,
      edges: shape.edges,
      change: { limits: { inFlightRecords: 20 + random.below(200), inFlightBytes: 100_000 } },
    });
  }

  #drawRecords(): void {
    const { random, topic } = this;
    topic.maxBatch = 1 + random.below(40);
    const weights: readonly (readonly [Fate, number])[] = [
      ['filtered', random.next() * 0.3],
      ['split', random.next() * 0.1],
      ['badTransform', random.next() * 0.05],
      ['badRecord', random.next() * 0.05],
      ['poison', random.next() * 0.03],
    ];
    const partitions = 1 + random.below(3);
    for (let partition = 0; partition < partitions; partition++) {
      const records = Array.from({ length: 10 + random.below(250) }, (_, n) => {
        let fate: Fate = 'plain';
        for (const [candidate, share] of weights) if (random.next() < share) fate = candidate;
        return { type: fate, payload: Buffer.from(`${partition}:${n}:${fate}`) };
      });
      topic.append(`p${partition}`, records);
    }
  }

  /** Some records the sinks refuse: a poison one fails its whole write, a bad one is reported. */
  #onRecord(payload: string): { code: string; message: string; retryable: boolean } | undefined {
    if (this.#isCured) return undefined;
    if (payload.includes('poison')) {
      throw new EtlError('ETL_INVALID_ARGUMENT', 'the write holds a value that does not fit');
    }
    if (!payload.includes('badRecord')) return undefined;
    return { code: 'BAD', message: 'does not fit', retryable: false };
  }

  async #startLife(): Promise<void> {
    const directory = this.disk.open();
    const opened = await LocalDeadLetterStore.open({
      directory: directory.directory('dead-letters'),
      segmentBytes: 4096,
    });
    const deadLetters = this.#sabotage.deadLetters?.(opened) ?? opened;
    this.#deadLetters = deadLetters;
    this.#outcome = undefined;
    const wrapSink = (life: Life, name: string): Sink => {
      const sink = new MemorySink(this.tables.get(name) as MemoryTable);
      return life.guard(this.#sabotage.sink?.(sink) ?? sink, ['openLane', 'write', 'complete']);
    };
    this.#life = new Life((life) => {
      const sinks = [...this.tables.keys()].map((name) => [name, () => wrapSink(life, name)]);
      return new Sidecar({
        sidecarId: 'test/sidecar',
        version: '0',
        offers: [],
        controlPlane: life.guard<ControlPlane>(this.controlPlane, [
          'openLanes',
          'commitPositions',
          'report',
        ]),
        stages: testStages({
          sources: { in: () => new MemorySource(this.topic, this.clock) },
          transforms: {
            t: () => this.#transform('t'),
            u: () => new MemoryTransform('u', (payload) => [payload]),
          },
          sinks: Object.fromEntries(sinks) as { [name: string]: () => Sink },
        }),
        deadLetters,
        spills: new SpillStore({ directory: directory.directory('spill'), segmentBytes: 2048 }),
        baseDirectory: '/',
        clock: this.clock,
        random: this.random,
        logger: silentLogger,
        failpoints: { hit: (name) => this.#onFailpoint(name, life) },
      });
    });
    const life = this.#life;
    life.sidecar.onEnded((_, outcome) => {
      if (!life.isDead) this.#outcome = outcome.kind;
    });
    life.sidecar.start();
  }

  #transform(name: string): MemoryTransform {
    const isAsync = this.random.next() < 0.5;
    return new MemoryTransform(
      name,
      (payload) => {
        if (payload.includes('filtered')) return [];
        if (payload.includes('split')) return [`${payload}/0`, `${payload}/1`];
        if (payload.includes('badTransform') && !this.#isCured) {
          return { code: 'BAD_INPUT', message: 'can not be transformed', retryable: false };
        }
        return [payload];
      },
      () => {
        if (!this.#isHealed && this.random.next() < 0.03) {
          throw new EtlError('ETL_UNAVAILABLE', 'the transform is away');
        }
        return isAsync && this.random.next() < 0.5 ? turn() : undefined;
      },
    );
  }

  #crashAt: string | undefined;

  #onFailpoint(name: string, life: Life): void {
    if (life.isDead || this.#crashAt !== name) return;
    this.#crashAt = undefined;
    this.faults.push(`crash at ${name}`);
    this.#die(life);
    throw new Error('this process is dead');
  }

  #die(life: Life): void {
    life.isDead = true;
    this.#crashes++;
    this.disk.crash(this.random);
  }

  #injectFault(): void {
    const { random, controlPlane } = this;
    for (const [name, table] of this.tables) {
      const fault = drawTableFault(table, random, this.clock);
      if (fault !== undefined) this.faults.push(`${name} ${fault}`);
      if (fault === failsAndTimesOut || fault === 'hangs') this.#mayDouble = true;
    }
    controlPlane.isAway = random.next() < 0.15;
    if (controlPlane.isAway) this.faults.push('router is away');
    if (random.next() < 0.1) {
      this.faults.push('lanes are reassigned');
      this.#mayDouble = true;
      controlPlane.reassign();
    }
    if (random.next() < 0.4) {
      const names = [
        'sink.write.before',
        'sink.write.after',
        'position.commit.before',
        'position.commit.after',
        'dead-letter.append.after',
        'spill.append.after',
        'spill.release.after',
        'lane.open.after',
      ];
      this.#crashAt = names[random.below(names.length)];
    }
  }

  #heal(): void {
    this.#isHealed = true;
    this.#crashAt = undefined;
    this.controlPlane.isAway = false;
    for (const table of this.tables.values()) {
      table.onWrite = () => undefined;
      table.openFailure = undefined;
    }
  }

  async #pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 10) {
      this.clock.advance(10);
      await turn();
      await turn();
      if (this.#life?.isDead === true) await this.#startAgain();
    }
  }

  async #crash(): Promise<void> {
    this.faults.push('crash');
    if (this.#life !== undefined && !this.#life.isDead) this.#die(this.#life);
    await this.#startAgain();
  }

  async #startAgain(): Promise<void> {
    this.#noteSpills();
    void this.#life?.sidecar.abort();
    await turn();
    await this.#startLife();
  }

  /** A shutdown in good order: nothing of it may be delivered twice. */
  async #restart(): Promise<void> {
    this.faults.push('restart');
    const life = this.#life as Life;
    let isClosed = false;
    void life.sidecar.close(2000).then(() => (isClosed = true));
    for (let passed = 0; !isClosed && passed < 4000; passed += 10) {
      this.clock.advance(10);
      await turn();
    }
    if (!isClosed) this.#mayDouble = true;
    if (!this.#isDrained()) this.#mayDouble = true;
    life.isDead = true;
    await this.#startAgain();
  }

  /** Whether the last run committed all it delivered before it ended. */
  #isDrained(): boolean {
    return (
      !this.controlPlane.isAway && this.faults.every((fault) => !/down|hangs|slow/.test(fault))
    );
  }

  #noteSpills(): void {
    const edges = this.#life?.sidecar.snapshots().flatMap((run) => run.edges) ?? [];
    for (const { spilledRecords } of edges) this.#spilled += spilledRecords;
  }

  async #untilCompleted(when: string): Promise<void> {
    for (let passed = 0; this.#outcome === undefined; passed += 20) {
      if (passed > 400_000) this.#complain(`not completed ${when}: ${this.#describe()}`);
      this.clock.advance(20);
      await turn();
      await turn();
      if (this.#life?.isDead === true) await this.#startAgain();
    }
    if (this.#outcome !== 'completed') this.#complain(`${this.#outcome} ${when}`);
  }

  #describe(): string {
    const [run] = this.#life?.sidecar.snapshots() ?? [];
    return JSON.stringify(run, (_, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
    );
  }

  /** The conservation law: what was emitted was delivered, filtered or dead-lettered, to each sink. */
  async #check(): Promise<void> {
    this.#noteSpills();
    const store = this.#deadLetters as DeadLetterStore;
    const buried = new Map<string, Set<string>>();
    for (let after = 0; ; ) {
      const page = await store.list({ pipelineId: this.pipeline.id, first: 1000, after });
      for (const { stage, id } of page.items) {
        const key = baseOf(id);
        buried.set(key, (buried.get(key) ?? new Set()).add(stage));
      }
      if (page.next === undefined) break;
      after = page.next;
    }
    for (const [sink, table] of this.tables) this.#checkSink(sink, table, buried);
  }

  #checkSink(sink: string, table: MemoryTable, buried: ReadonlyMap<string, Set<string>>): void {
    const rows = new Map<string, number>();
    for (const { id, payload } of table.rows) {
      const key = `${baseOf(id)} ${payload}`;
      rows.set(key, (rows.get(key) ?? 0) + 1);
    }
    const upstream = new Set([sink, ...(this.shape.transforms[sink] ?? [])]);
    for (const partition of this.topic.partitions) {
      for (const [index, record] of this.topic.partition(partition).entries()) {
        const payload = String(record.payload);
        const id = `in/${partition}/${(index + 1).toString(16).padStart(16, '0')}`;
        const stages = [...(buried.get(id) ?? [])].filter((stage) => upstream.has(stage));
        for (const [expected, copies] of expectedOf(this.shape, sink, {
          payload,
          isCured: this.#isCured,
        })) {
          const key = `${id} ${expected}`;
          const stored = rows.get(key) ?? 0;
          rows.delete(key);
          this.#judge({ sink, table, key, stored, copies, isBuried: stages.length > 0 });
        }
      }
    }
    const [phantom] = rows.keys();
    if (phantom !== undefined)
      this.#complain(`${sink} holds ${phantom}, which it was never to get`);
    if (!this.#mayReorder && !mayOvertake(this.pipeline, this.shape, sink))
      this.#checkOrder(sink, table);
  }

  #judge(of: {
    readonly sink: string;
    readonly table: MemoryTable;
    readonly key: string;
    readonly stored: number;
    readonly copies: number;
    readonly isBuried: boolean;
  }): void {
    const { sink, table, key, stored, copies, isBuried } = of;
    if (stored < copies && !isBuried && !mayDrop(this.pipeline, this.shape, sink)) {
      this.#complain(`${sink} lost ${key}: ${stored} of ${copies} stored, none dead-lettered`);
    }
    if (stored > copies) {
      const mayRepeat = this.#isCured && mayBuryDelivered(this.pipeline, this.shape, sink);
      if (table.kind !== 'append' && !mayRepeat) this.#complain(`${sink} doubled ${key}`);
      if (this.#crashes === 0 && !this.#mayDouble) {
        this.#complain(`${sink} doubled ${key} although nothing failed`);
      }
    }
  }

  /** First occurrences come in order of position within a lane. */
  #checkOrder(sink: string, table: MemoryTable): void {
    const last = new Map<string, string>();
    const seen = new Set<string>();
    for (const { lane, id, payload } of table.rows) {
      if (seen.has(`${id} ${payload}`)) continue;
      seen.add(`${id} ${payload}`);
      const key = `${lane.source}/${lane.partition}`;
      const before = last.get(key) ?? '';
      if (baseOf(id) < before) this.#complain(`${sink} got ${id} after ${before}`);
      last.set(key, baseOf(id));
    }
  }

  /** Cures what was wrong and sends every dead letter again. */
  async #redriveAll(): Promise<void> {
    this.#isCured = true;
    this.#mayReorder = true;
    this.faults.push(`redrive ${this.#left}`);
    const isCrashing = this.random.next() < 0.5;
    const names = ['sink.write.before', 'sink.write.after', 'dead-letter.remove.before'];
    if (isCrashing) this.#crashAt = names[this.random.below(names.length)];
    for (let round = 0; round < 30 && this.#left > 0; round++) {
      this.#outcome = undefined;
      await this.#life?.sidecar.redrive(this.pipeline.id, {});
      await this.#untilCompleted('after the redrive');
    }
    if (this.#left > 0) this.#complain(`${this.#left} dead letters are left after the redrive`);
    for (const [sink, table] of this.tables) this.#checkSink(sink, table, new Map());
  }

  get #left(): number {
    return this.#deadLetters?.count(this.pipeline.id, {}) ?? 0;
  }

  #result(): SimulationResult {
    let [delivered, duplicates] = [0, 0];
    for (const { rows } of this.tables.values()) {
      delivered += rows.length;
      duplicates += rows.length - new Set(rows.map(({ id, payload }) => `${id} ${payload}`)).size;
    }
    return {
      seed: this.#seed,
      faults: this.faults,
      crashes: this.#crashes,
      delivered,
      deadLettered: this.#deadLetters?.count(this.pipeline.id, {}) ?? 0,
      duplicates,
      spilled: this.#spilled,
    };
  }

  #complain(what: string): never {
    const edges = this.pipeline.edges.map(
      ({ from, to, overflow }) => `${from}>${to} ${overflow.policy}`,
    );
    const tables = Array.from(this.tables, ([name, { kind }]) => `${name} ${kind}`);
    throw new Error(
      `seed ${this.#seed}: ${what}\n${tables.join(', ')}; ${edges.join(', ')}\nfaults: ${this.faults.join(', ')}`,
    );
  }
}
