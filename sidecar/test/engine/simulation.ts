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
import { LocalDeadLetterStore, type RunSnapshot, Sidecar, SpillStore } from '../../src/index.ts';
import {
  type EdgeOptions,
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

/** What a payload says of its record's fate; drawn once, so that every replay meets the same. */
export type Fate = 'plain' | 'filtered' | 'split' | 'badTransform' | 'badRecord' | 'poison';

interface Shape {
  readonly stages: { readonly [name: string]: 'source' | 'transform' | 'sink' };
  readonly edges: readonly (readonly [string, string, EdgeOptions?])[];
  /** Copies of a plain record that each sink gets. */
  readonly copies: { readonly [sink: string]: number };
  /** Transforms on the way to each sink. */
  readonly transforms: { readonly [sink: string]: readonly string[] };
}

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
const forever = new Promise<never>(() => {});

/** One process: everything it calls stops answering when it dies. */
class Life {
  isDead = false;
  readonly sidecar: Sidecar;

  constructor(create: (life: Life) => Sidecar) {
    this.sidecar = create(this);
  }

  guard<T extends object>(target: T, names: readonly (keyof T)[]): T {
    return new Proxy(target, {
      get: (inner, name) => {
        const value: unknown = Reflect.get(inner, name, inner);
        if (typeof value !== 'function') return value;
        const method = value.bind(inner) as (...given: unknown[]) => unknown;
        if (!names.includes(name as keyof T)) return method;
        return async (...given: unknown[]) => {
          if (this.isDead) return forever;
          const result = await method(...given);
          return this.isDead ? forever : result;
        };
      },
    });
  }
}

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
    this.shape = this.#drawShape();
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

  #drawShape(): Shape {
    const { random } = this;
    const policies = ['block', 'block', 'spill', 'spill', 'deadLetter', 'drop'] as const;
    const draw = (): EdgeOptions => {
      const policy = policies[random.below(policies.length)] as (typeof policies)[number];
      const afterMs = random.below(3) * 100;
      return { overflow: { policy, afterMs, spillMaxBytes: 2000 + random.below(100_000) } };
    };
    switch (random.below(5)) {
      case 0:
        return {
          stages: { in: 'source', a: 'sink' },
          edges: [['in', 'a', draw()]],
          copies: { a: 1 },
          transforms: { a: [] },
        };
      case 1:
        return {
          stages: { in: 'source', t: 'transform', a: 'sink' },
          edges: [
            ['in', 't'],
            ['t', 'a', draw()],
          ],
          copies: { a: 1 },
          transforms: { a: ['t'] },
        };
      case 2:
        return {
          stages: { in: 'source', t: 'transform', a: 'sink', b: 'sink', c: 'sink' },
          edges: [
            ['in', 't'],
            ['t', 'a', draw()],
            ['t', 'b', draw()],
            ['in', 'c', { required: random.next() < 0.7 }],
          ],
          copies: { a: 1, b: 1, c: 1 },
          transforms: { a: ['t'], b: ['t'], c: [] },
        };
      case 3:
        return {
          stages: { in: 'source', t: 'transform', u: 'transform', a: 'sink' },
          edges: [
            ['in', 't'],
            ['in', 'u'],
            ['t', 'a'],
            ['u', 'a'],
          ],
          copies: { a: 2 },
          transforms: { a: ['t', 'u'] },
        };
      default:
        return {
          stages: { in: 'source', t: 'transform', u: 'transform', a: 'sink', b: 'sink' },
          edges: [
            ['in', 't', draw()],
            ['t', 'u'],
            ['u', 'a', draw()],
            ['in', 'b', draw()],
          ],
          copies: { a: 1, b: 1 },
          transforms: { a: ['t', 'u'], b: [] },
        };
    }
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
      const dice = random.below(6);
      table.onWrite = () => undefined;
      table.openFailure = undefined;
      if (dice === 0) {
        this.faults.push(`${name} is down`);
        const error = new EtlError('ETL_CONNECTOR_FAILED', 'the table is away');
        table.onWrite = () => ({ kind: 'fail', error });
        if (random.next() < 0.5) table.openFailure = error;
      } else if (dice === 1) {
        this.faults.push(`${name} fails and times out`);
        this.#mayDouble = true;
        const error = new EtlError('ETL_TIMEOUT', 'no answer');
        table.onWrite = () => {
          const draw = random.next();
          return draw < 0.15
            ? { kind: 'unknown', error }
            : draw < 0.3
              ? { kind: 'fail', error }
              : undefined;
        };
      } else if (dice === 2) {
        this.faults.push(`${name} hangs`);
        table.onWrite = () => (random.next() < 0.1 ? { kind: 'hang' } : undefined);
      } else if (dice === 3) {
        this.faults.push(`${name} is slow`);
        const delayed = (): Promise<void> =>
          new Promise((resolve) => this.clock.after(random.below(300), resolve));
        table.onWrite = () => ({ kind: 'wait', until: delayed() });
      }
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

  get #runs(): readonly RunSnapshot[] {
    return this.#life?.sidecar.snapshots() ?? [];
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
        for (const [expected, copies] of this.#expected(sink, payload)) {
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
    if (!this.#mayReorder && !this.#mayOvertake(sink)) this.#checkOrder(sink, table);
  }

  /** Payloads a sink gets of a record, and how many of each in the absence of faults. */
  #expected(sink: string, payload: string): (readonly [string, number])[] {
    const through = this.shape.transforms[sink] ?? [];
    const copies = this.shape.copies[sink] ?? 1;
    if (copies === 2) {
      if (payload.includes('filtered')) return [[payload, 1]];
      if (payload.includes('split')) {
        return [
          [payload, 1],
          [`${payload}/0`, 1],
          [`${payload}/1`, 1],
        ];
      }
      return payload.includes('badTransform') && !this.#isCured ? [[payload, 1]] : [[payload, 2]];
    }
    if (!through.includes('t')) return [[payload, 1]];
    if (payload.includes('filtered')) return [];
    if (!payload.includes('split')) return [[payload, 1]];
    return [
      [`${payload}/0`, 1],
      [`${payload}/1`, 1],
    ];
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
    if (stored < copies && !isBuried && !this.#mayDrop(sink)) {
      this.#complain(`${sink} lost ${key}: ${stored} of ${copies} stored, none dead-lettered`);
    }
    if (stored > copies) {
      if (table.kind !== 'append') this.#complain(`${sink} doubled ${key}`);
      if (this.#crashes === 0 && !this.#mayDouble) {
        this.#complain(`${sink} doubled ${key} although nothing failed`);
      }
    }
  }

  /** Whether an edge on the way to a sink may drop records. */
  #mayDrop(sink: string): boolean {
    const upstream = new Set([sink, ...(this.shape.transforms[sink] ?? [])]);
    return this.pipeline.edges.some(
      ({ to, required, overflow }) => upstream.has(to) && (!required || overflow.policy === 'drop'),
    );
  }

  /** Whether an edge on the way may give up a record that a restart then brings after those behind it. */
  #mayOvertake(sink: string): boolean {
    const upstream = new Set([sink, ...(this.shape.transforms[sink] ?? [])]);
    return this.pipeline.edges.some(
      ({ to, required, overflow }) =>
        upstream.has(to) && (!required || ['drop', 'deadLetter'].includes(overflow.policy)),
    );
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
    const count = this.#deadLetters?.count(this.pipeline.id, {}) ?? 0;
    if (count === 0) return;
    this.faults.push(`redrive ${count}`);
    const isCrashing = this.random.next() < 0.5;
    const names = ['sink.write.before', 'sink.write.after', 'dead-letter.remove.before'];
    if (isCrashing) this.#crashAt = names[this.random.below(names.length)];
    this.#outcome = undefined;
    await this.#life?.sidecar.redrive(this.pipeline.id, {});
    await this.#untilCompleted('after the redrive');
    if (this.#runs.length === 0) this.#complain('nothing ran');
    const left = this.#deadLetters?.count(this.pipeline.id, {}) ?? 0;
    if (left > 0) this.#complain(`${left} dead letters are left after the redrive`);
    for (const [sink, table] of this.tables) this.#checkSink(sink, table, new Map());
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

/** `source/partition/position` without what splits add. */
function baseOf(id: string): string {
  return id.split('.')[0] as string;
}
