// The dead-letter store's index: what is alive, where it lies on disk, and what is queued to be sent again. Pure.

import type { FrameAddress } from '../storage/frame-log.ts';
import type { EntryFacts } from './frames.ts';
import type { DeadLetterCounts, DeadLetterFilter, RedriveLane } from './store.ts';

/** A living entry. */
export interface Indexed {
  readonly pipelineId: string;
  readonly id: string;
  readonly stage: string;
  readonly source: string;
  readonly partition: string;
  readonly code: string;
  readonly attempts: number;
  readonly firstFailureMs: number;
  readonly ordinal: number;
  readonly address: FrameAddress;
  readonly redrive: number | undefined;
}

/** The entries of one pipeline. */
interface Shelf {
  /** By `id stage`. */
  readonly byRecord: Map<string, number>;
  /** In order of ordinal: a new one is the highest, and a Map keeps the order in which keys came. */
  readonly byOrdinal: Map<number, Indexed>;
  readonly queued: Set<number>;
  /** Ordinals by the lane the record first travelled in. */
  readonly byLane: Map<string, Set<number>>;
}

export class LetterIndex {
  readonly #shelves = new Map<string, Shelf>();
  readonly #pipelineOf = new Map<number, string>();
  #lastOrdinal = 0;
  #lastRedrive = 0;
  #bytes = 0;

  get size(): number {
    return this.#pipelineOf.size;
  }

  /** Bytes of the living entries on disk. */
  get bytes(): number {
    return this.#bytes;
  }

  get lastOrdinal(): number {
    return this.#lastOrdinal;
  }

  get lastRedrive(): number {
    return this.#lastRedrive;
  }

  nextOrdinal(): number {
    return ++this.#lastOrdinal;
  }

  nextRedrive(): number {
    return ++this.#lastRedrive;
  }

  /** Numbers up to these were given out before. */
  skipTo(ordinal: number, redrive: number): void {
    this.#lastOrdinal = Math.max(this.#lastOrdinal, ordinal);
    this.#lastRedrive = Math.max(this.#lastRedrive, redrive);
  }

  /** Adds an entry, in the place of the one with its pipeline, id and stage. */
  put(facts: EntryFacts, address: FrameAddress): void {
    const { pipelineId, id, stage, source, partition, code, attempts } = facts;
    const { firstFailureMs, ordinal, redrive } = facts;
    const key = keyOf(id, stage);
    const known = this.#shelves.get(pipelineId)?.byRecord.get(key);
    if (known !== undefined) this.remove(known);
    const shelf = this.#shelfOf(pipelineId);
    const entry = {
      pipelineId,
      id,
      stage,
      source,
      partition,
      code,
      attempts,
      firstFailureMs,
      ordinal,
      address,
      redrive,
    };
    shelf.byRecord.set(key, ordinal);
    shelf.byOrdinal.set(ordinal, entry);
    if (redrive !== undefined) shelf.queued.add(ordinal);
    const lane = keyOf(source, partition);
    const inLane = shelf.byLane.get(lane);
    if (inLane === undefined) shelf.byLane.set(lane, new Set([ordinal]));
    else inLane.add(ordinal);
    this.#pipelineOf.set(ordinal, pipelineId);
    this.#bytes += address.length;
    this.skipTo(ordinal, redrive ?? 0);
  }

  /** Puts the entries that a compaction moved back into the order of their ordinals. */
  sort(): void {
    for (const { byOrdinal } of this.#shelves.values()) {
      const entries = [...byOrdinal].toSorted(([a], [b]) => a - b);
      byOrdinal.clear();
      for (const [ordinal, entry] of entries) byOrdinal.set(ordinal, entry);
    }
  }

  find(pipelineId: string, id: string, stage: string): Indexed | undefined {
    const shelf = this.#shelves.get(pipelineId);
    const ordinal = shelf?.byRecord.get(keyOf(id, stage));
    return ordinal === undefined ? undefined : shelf?.byOrdinal.get(ordinal);
  }

  queue(ordinal: number, redrive: number): void {
    this.skipTo(0, redrive);
    const shelf = this.#shelfWith(ordinal);
    const entry = shelf?.byOrdinal.get(ordinal);
    if (shelf === undefined || entry === undefined) return;
    shelf.byOrdinal.set(ordinal, { ...entry, redrive });
    shelf.queued.add(ordinal);
  }

  move(ordinal: number, address: FrameAddress): void {
    const shelf = this.#shelfWith(ordinal);
    const entry = shelf?.byOrdinal.get(ordinal);
    if (shelf === undefined || entry === undefined) return;
    this.#bytes += address.length - entry.address.length;
    shelf.byOrdinal.set(ordinal, { ...entry, address });
  }

  remove(ordinal: number): void {
    const shelf = this.#shelfWith(ordinal);
    const entry = shelf?.byOrdinal.get(ordinal);
    if (shelf === undefined || entry === undefined) return;
    shelf.byOrdinal.delete(ordinal);
    shelf.byRecord.delete(keyOf(entry.id, entry.stage));
    shelf.queued.delete(ordinal);
    const lane = keyOf(entry.source, entry.partition);
    const inLane = shelf.byLane.get(lane);
    inLane?.delete(ordinal);
    if (inLane?.size === 0) shelf.byLane.delete(lane);
    this.#pipelineOf.delete(ordinal);
    if (shelf.byOrdinal.size === 0) this.#shelves.delete(entry.pipelineId);
    this.#bytes -= entry.address.length;
  }

  /** Those after ordinal `after`, oldest first. */
  *after(pipelineId: string, after = 0): Generator<Indexed> {
    for (const entry of this.#shelves.get(pipelineId)?.byOrdinal.values() ?? []) {
      if (entry.ordinal > after) yield entry;
    }
  }

  /** Those that match, oldest first. */
  match(pipelineId: string, { ids, stage, code }: DeadLetterFilter): Indexed[] {
    const wanted = ids === undefined ? undefined : new Set(ids);
    const matching: Indexed[] = [];
    for (const entry of this.after(pipelineId)) {
      if (stage !== undefined && entry.stage !== stage) continue;
      if (code !== undefined && entry.code !== code) continue;
      if (wanted !== undefined && !wanted.has(entry.id)) continue;
      matching.push(entry);
    }
    return matching;
  }

  /** What is queued for one lane, in the order of the queue. */
  queued(pipelineId: string, { source, stage }: RedriveLane): Indexed[] {
    return this.#queued(pipelineId)
      .filter((entry) => entry.stage === stage && entry.source === source)
      .toSorted((a, b) => (a.redrive as number) - (b.redrive as number));
  }

  redriveLanes(pipelineId: string): readonly RedriveLane[] {
    const lanes = new Map<string, RedriveLane>();
    for (const { source, stage } of this.#queued(pipelineId)) {
      lanes.set(keyOf(source, stage), { source, stage });
    }
    return [...lanes.values()];
  }

  counts(pipelineId: string): DeadLetterCounts {
    const byFingerprint = new Map<string, number>();
    for (const { stage, code } of this.after(pipelineId)) {
      const fingerprint = `${stage}/${code}`;
      byFingerprint.set(fingerprint, (byFingerprint.get(fingerprint) ?? 0) + 1);
    }
    const shelf = this.#shelves.get(pipelineId);
    return {
      total: shelf?.byOrdinal.size ?? 0,
      redriving: shelf?.queued.size ?? 0,
      byFingerprint,
    };
  }

  /** Ids of one lane's entries, by stage. */
  idsOf(
    pipelineId: string,
    lane: { readonly source: string; readonly partition: string },
  ): ReadonlyMap<string, ReadonlySet<string>> {
    const ids = new Map<string, Set<string>>();
    const shelf = this.#shelves.get(pipelineId);
    if (shelf === undefined) return ids;
    for (const ordinal of shelf.byLane.get(keyOf(lane.source, lane.partition)) ?? []) {
      const { stage, id } = shelf.byOrdinal.get(ordinal) as Indexed;
      const known = ids.get(stage);
      if (known === undefined) ids.set(stage, new Set([id]));
      else known.add(id);
    }
    return ids;
  }

  /** The highest ordinal of a pipeline's entries; 0 when it has none. */
  highest(pipelineId: string): number {
    let highest = 0;
    for (const ordinal of this.#shelves.get(pipelineId)?.byOrdinal.keys() ?? []) {
      if (ordinal > highest) highest = ordinal;
    }
    return highest;
  }

  inSegment(segment: number): Indexed[] {
    const found: Indexed[] = [];
    for (const { byOrdinal } of this.#shelves.values()) {
      for (const entry of byOrdinal.values())
        if (entry.address.segment === segment) found.push(entry);
    }
    return found;
  }

  #queued(pipelineId: string): Indexed[] {
    const shelf = this.#shelves.get(pipelineId);
    return Array.from(shelf?.queued ?? [], (ordinal) => shelf?.byOrdinal.get(ordinal) as Indexed);
  }

  #shelfOf(pipelineId: string): Shelf {
    const known = this.#shelves.get(pipelineId);
    if (known !== undefined) return known;
    const shelf: Shelf = {
      byRecord: new Map(),
      byOrdinal: new Map(),
      queued: new Set(),
      byLane: new Map(),
    };
    this.#shelves.set(pipelineId, shelf);
    return shelf;
  }

  #shelfWith(ordinal: number): Shelf | undefined {
    const pipelineId = this.#pipelineOf.get(ordinal);
    return pipelineId === undefined ? undefined : this.#shelves.get(pipelineId);
  }
}

function keyOf(first: string, second: string): string {
  return `${first}\0${second}`;
}
