// Collects the batches of one lane and edge until they are worth a call: by count, by bytes, or because the first has
// waited long enough. Small ones are joined, a large one passes through uncopied, one position is never parted. Pure:
// the caller says what time it is.

import { assert, type BatchPreference, type RecordBatch } from '@etl-router/core';
import { concatBatches, endWithin } from './batches.ts';

/** A batch to send and the items it was made of that are complete with it. */
export interface Collected<Item> {
  readonly batch: RecordBatch;
  /** Items whose last record is in the batch, oldest first. */
  readonly completes: readonly Item[];
}

/** Anything that brings a batch. */
export interface BatchItem {
  readonly batch: RecordBatch;
}

/** Bounds come with each call, because they change with the number of lanes. */
export class Batcher<Item extends BatchItem> {
  #items: Item[] = [];
  #firstAtMs = 0;
  /** Records of the first item that were sent already. */
  #sent = 0;
  #records = 0;
  #bytes = 0;

  /** Records that wait. */
  get records(): number {
    return this.#records;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(item: Item, nowMs: number): void {
    const { count, byteLength } = item.batch;
    assert(count > 0, 'no empty batch travels');
    if (this.#items.length === 0) this.#firstAtMs = nowMs;
    this.#items.push(item);
    this.#records += count;
    this.#bytes += byteLength;
  }

  /** When the waiting records are due at the latest; undefined when none waits. */
  dueAtMs(preference: BatchPreference): number | undefined {
    return this.#items.length === 0 ? undefined : this.#firstAtMs + preference.maxWaitMs;
  }

  /** Whether a full batch waits. */
  isFull(preference: BatchPreference): boolean {
    return this.#records >= preference.maxRecords || this.#bytes >= preference.maxBytes;
  }

  /** The next batch within the bounds; undefined when nothing waits. */
  take(preference: BatchPreference, nowMs: number): Collected<Item> | undefined {
    const [first] = this.#items;
    if (first === undefined) return undefined;
    const whole = first.batch;
    if (
      this.#sent > 0 ||
      whole.count > preference.maxRecords ||
      whole.byteLength > preference.maxBytes
    ) {
      return this.#takePart(first, preference, nowMs);
    }
    let [records, bytes, items] = [0, 0, 0];
    for (const { batch } of this.#items) {
      if (items > 0) {
        if (records + batch.count > preference.maxRecords) break;
        if (bytes + batch.byteLength > preference.maxBytes) break;
      }
      records += batch.count;
      bytes += batch.byteLength;
      items++;
    }
    const completes = this.#items.splice(0, items);
    this.#taken(records, bytes, nowMs);
    return { batch: concatBatches(completes.map(({ batch }) => batch)), completes };
  }

  /** The first item as it came. Not to be mixed with {@link take}. */
  takeItem(): Collected<Item> | undefined {
    const item = this.#items.shift();
    if (item === undefined) return undefined;
    this.#records -= item.batch.count;
    this.#bytes -= item.batch.byteLength;
    return { batch: item.batch, completes: [item] };
  }

  /** Gives up the items of which nothing was sent, oldest first. */
  clearUntouched(): Item[] {
    const items = this.#items.splice(this.#sent > 0 ? 1 : 0);
    for (const { batch } of items) {
      this.#records -= batch.count;
      this.#bytes -= batch.byteLength;
    }
    return items;
  }

  #takePart(first: Item, preference: BatchPreference, nowMs: number): Collected<Item> {
    const from = this.#sent;
    const end = endWithin(first.batch, from, preference);
    const batch = first.batch.slice(from, end);
    const isLast = end === first.batch.count;
    if (isLast) this.#items.shift();
    this.#sent = isLast ? 0 : end;
    this.#taken(end - from, batch.byteLength, nowMs);
    return { batch, completes: isLast ? [first] : [] };
  }

  #taken(records: number, bytes: number, nowMs: number): void {
    this.#records -= records;
    this.#bytes -= bytes;
    this.#firstAtMs = nowMs;
  }
}
