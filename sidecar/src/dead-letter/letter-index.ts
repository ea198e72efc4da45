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
  readonly code: string;
  readonly attempts: number;
  readonly firstFailureMs: number;
  readonly ordinal: number;
  readonly address: FrameAddress;
  readonly redrive: number | undefined;
}

export class LetterIndex {
  /** In order of ordinal; a Map keeps the order of insertion, and ordinals only grow. */
  readonly #byOrdinal = new Map<number, Indexed>();
  readonly #ordinals = new Map<string, number>();
  #lastOrdinal = 0;
  #lastRedrive = 0;
  #bytes = 0;

  get size(): number {
    return this.#byOrdinal.size;
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

  skipTo(ordinal: number, redrive: number): void {
    this.#lastOrdinal = Math.max(this.#lastOrdinal, ordinal);
    this.#lastRedrive = Math.max(this.#lastRedrive, redrive);
  }

  /** Adds an entry, in the place of the one with its pipeline, id and stage. */
  put(facts: EntryFacts, address: FrameAddress): void {
    const { pipelineId, id, stage, source, code, attempts, firstFailureMs, ordinal } = facts;
    const { redrive } = facts;
    const key = keyOf(pipelineId, id, stage);
    const known = this.#ordinals.get(key);
    if (known !== undefined) this.remove(known);
    this.#ordinals.set(key, ordinal);
    this.#byOrdinal.set(ordinal, {
      pipelineId,
      id,
      stage,
      source,
      code,
      attempts,
      firstFailureMs,
      ordinal,
      address,
      redrive,
    });
    this.#bytes += address.length;
    this.skipTo(ordinal, redrive ?? 0);
  }

  find(pipelineId: string, id: string, stage: string): Indexed | undefined {
    const ordinal = this.#ordinals.get(keyOf(pipelineId, id, stage));
    return ordinal === undefined ? undefined : this.#byOrdinal.get(ordinal);
  }

  queue(ordinal: number, redrive: number): void {
    const entry = this.#byOrdinal.get(ordinal);
    if (entry !== undefined) this.#byOrdinal.set(ordinal, { ...entry, redrive });
    this.skipTo(0, redrive);
  }

  move(ordinal: number, address: FrameAddress): void {
    const entry = this.#byOrdinal.get(ordinal);
    if (entry === undefined) return;
    this.#bytes += address.length - entry.address.length;
    this.#byOrdinal.set(ordinal, { ...entry, address });
  }

  remove(ordinal: number): void {
    const entry = this.#byOrdinal.get(ordinal);
    if (entry === undefined) return;
    this.#byOrdinal.delete(ordinal);
    this.#ordinals.delete(keyOf(entry.pipelineId, entry.id, entry.stage));
    this.#bytes -= entry.address.length;
  }

  /** Those that match, oldest first. */
  match(pipelineId: string, { ids, stage, code }: DeadLetterFilter): Indexed[] {
    const wanted = ids === undefined ? undefined : new Set(ids);
    const matching: Indexed[] = [];
    for (const entry of this.#byOrdinal.values()) {
      if (entry.pipelineId !== pipelineId) continue;
      if (stage !== undefined && entry.stage !== stage) continue;
      if (code !== undefined && entry.code !== code) continue;
      if (wanted !== undefined && !wanted.has(entry.id)) continue;
      matching.push(entry);
    }
    return matching.toSorted((a, b) => a.ordinal - b.ordinal);
  }

  /** What is queued for one lane, in the order of the queue. */
  queued(pipelineId: string, { source, stage }: RedriveLane): Indexed[] {
    return this.match(pipelineId, { stage })
      .filter((entry) => entry.redrive !== undefined && entry.source === source)
      .toSorted((a, b) => (a.redrive as number) - (b.redrive as number));
  }

  redriveLanes(pipelineId: string): readonly RedriveLane[] {
    const lanes = new Map<string, RedriveLane>();
    for (const { redrive, source, stage } of this.match(pipelineId, {})) {
      if (redrive !== undefined) lanes.set(JSON.stringify([source, stage]), { source, stage });
    }
    return [...lanes.values()];
  }

  counts(pipelineId: string): DeadLetterCounts {
    const byFingerprint = new Map<string, number>();
    let [total, redriving] = [0, 0];
    for (const { stage, code, redrive } of this.match(pipelineId, {})) {
      const fingerprint = `${stage}/${code}`;
      byFingerprint.set(fingerprint, (byFingerprint.get(fingerprint) ?? 0) + 1);
      total++;
      if (redrive !== undefined) redriving++;
    }
    return { total, redriving, byFingerprint };
  }

  inSegment(segment: number): Indexed[] {
    return [...this.#byOrdinal.values()].filter(({ address }) => address.segment === segment);
  }
}

function keyOf(pipelineId: string, id: string, stage: string): string {
  return JSON.stringify([pipelineId, id, stage]);
}
