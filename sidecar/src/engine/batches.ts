// Cutting and joining batches without decoding a record. Two rules hold everywhere: records stay in sequence order,
// and records of one position (which share a sequence) are never parted. Pure.

import {
  assert,
  BatchBuilder,
  type BatchHeader,
  comparePositions,
  RecordBatch,
} from '@etl-router/core';

/** The first index at or before `index` where a new position starts; 0 when all before share one. */
export function cutAtOrBefore(batch: RecordBatch, index: number): number {
  let cut = index;
  while (cut > 0 && cut < batch.count && batch.sequence(cut) === batch.sequence(cut - 1)) cut--;
  return cut;
}

/** The first index after `index` where a new position starts, or the end. */
export function cutAfter(batch: RecordBatch, index: number): number {
  let cut = index + 1;
  while (cut < batch.count && batch.sequence(cut) === batch.sequence(cut - 1)) cut++;
  return cut;
}

/** Where to part a batch into two of about the same size; undefined when it holds one position only. */
export function halfOf(batch: RecordBatch): number | undefined {
  const before = cutAtOrBefore(batch, batch.count >> 1);
  if (before > 0) return before;
  const after = cutAfter(batch, 0);
  return after < batch.count ? after : undefined;
}

/**
 * The end of the largest run of records from `from` within both bounds; at least one position, whatever its size.
 */
export function endWithin(
  batch: RecordBatch,
  from: number,
  bounds: { readonly maxRecords: number; readonly maxBytes: number },
): number {
  const { spans } = batch;
  const start = from === 0 ? 0 : (spans[2 * from - 1] as number);
  const limit = start + bounds.maxBytes;
  let end = Math.min(batch.count, from + bounds.maxRecords);
  if ((spans[2 * end - 1] as number) > limit) {
    let [low, high] = [from, end];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((spans[2 * middle - 1] as number) <= limit) low = middle;
      else high = middle;
    }
    end = low;
  }
  if (end >= batch.count) return batch.count;
  const cut = cutAtOrBefore(batch, end);
  return cut > from ? cut : cutAfter(batch, from);
}

/** Number of leading records whose position is at or before `position`. */
export function countUpTo(batch: RecordBatch, position: Uint8Array): number {
  let [low, high] = [0, batch.count];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (comparePositions(batch.position(middle), position) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Position of the last record, in memory of its own. */
export function lastPosition(batch: RecordBatch): Uint8Array {
  return Uint8Array.from(batch.position(batch.count - 1));
}

/** Batches of one lane and epoch, each following the other, as one. A single one is returned as it is. */
export function concatBatches(batches: readonly RecordBatch[]): RecordBatch {
  const [first] = batches;
  assert(first !== undefined, 'something to join');
  if (batches.length === 1) return first;
  let [count, size] = [0, 0];
  for (const batch of batches) {
    count += batch.count;
    size += batch.byteLength;
  }
  const bytes = Buffer.allocUnsafeSlow(size);
  const spans = new Uint32Array(count * 2);
  const offsets = new Uint32Array(count);
  const { firstSequence } = first.header;
  let [at, index] = [0, 0];
  for (const batch of batches) {
    batch.bytes.copy(bytes, at);
    const known = batch.spans;
    for (let i = 0; i < known.length; i++) spans[2 * index + i] = (known[i] as number) + at;
    for (let i = 0; i < batch.count; i++) offsets[index + i] = batch.sequence(i) - firstSequence;
    at += batch.byteLength;
    index += batch.count;
  }
  return new RecordBatch({ ...first.header, sequenceOffsets: offsets }, bytes, spans);
}

/** Parts of one batch, joined in order of sequence; of equal sequences the earlier part's come first. */
export function mergeBatches(parts: readonly RecordBatch[]): RecordBatch {
  const filled = parts.filter((part) => part.count > 0);
  const [first] = filled;
  if (first === undefined || filled.length === 1) return first ?? (parts[0] as RecordBatch);
  const ordered = filled.every((part, index) => {
    const before = filled[index - 1];
    return before === undefined || before.sequence(before.count - 1) < part.sequence(0);
  });
  const joined = concatBatches(rebased(filled));
  if (ordered) return joined;
  const indexes = Uint32Array.from({ length: joined.count }, (_, index) => index);
  indexes.sort((a, b) => joined.sequence(a) - joined.sequence(b) || a - b);
  return permute(joined, indexes);
}

/** The same parts with one base for all their sequences, the lowest, so that no offset is negative. */
function rebased(parts: readonly RecordBatch[]): RecordBatch[] {
  const firstSequence = Math.min(...parts.map((part) => part.sequence(0)));
  return parts.map((part) => {
    if (part.header.firstSequence === firstSequence) return part;
    const sequenceOffsets = new Uint32Array(part.count);
    for (let i = 0; i < part.count; i++) sequenceOffsets[i] = part.sequence(i) - firstSequence;
    return part.withHeader({ firstSequence, sequenceOffsets });
  });
}

function permute(batch: RecordBatch, indexes: Uint32Array): RecordBatch {
  const bytes = Buffer.allocUnsafeSlow(batch.byteLength);
  const spans = new Uint32Array(batch.spans.length);
  const offsets = new Uint32Array(batch.count);
  let at = 0;
  for (let i = 0; i < indexes.length; i++) {
    const index = indexes[i] as number;
    const entry = index === 0 ? 0 : (batch.spans[2 * index - 1] as number);
    const end = batch.spans[2 * index + 1] as number;
    spans[2 * i] = at + (batch.spans[2 * index] as number) - entry;
    at += batch.bytes.copy(bytes, at, entry, end);
    spans[2 * i + 1] = at;
    offsets[i] = batch.sequence(index) - batch.header.firstSequence;
  }
  return new RecordBatch({ ...batch.header, sequenceOffsets: offsets }, bytes, spans);
}

/** The same records, each with `suffix` added to its derivation, and so an id of its own. */
export function deriveAll(batch: RecordBatch, suffix: string): RecordBatch {
  const builder = new BatchBuilder(batch.byteLength + batch.count * (suffix.length + 2));
  for (let index = 0; index < batch.count; index++) {
    const record = batch.record(index);
    const derivation = record.derivation + suffix;
    builder.append({ ...record, derivation }, batch.sequence(index));
  }
  const { lane, epoch, firstSequence, watermark } = batch.header;
  return builder.build({ lane, epoch, firstSequence, watermark });
}

/** The same records, numbered densely from `firstSequence` under another lane or epoch. */
export function numberBatch(
  batch: RecordBatch,
  header: Pick<BatchHeader, 'lane' | 'epoch' | 'firstSequence'>,
): RecordBatch {
  return batch.withHeader({ ...header, sequenceOffsets: undefined });
}

/** The records that are not at `indexes`, which ascend; undefined when none is left. */
export function withoutIndexes(
  batch: RecordBatch,
  indexes: readonly number[],
): RecordBatch | undefined {
  if (indexes.length === 0) return batch;
  const left = new Uint32Array(batch.count - indexes.length);
  let [next, at] = [0, 0];
  for (let index = 0; index < batch.count; index++) {
    if (indexes[next] === index) next++;
    else left[at++] = index;
  }
  return at === 0 ? undefined : batch.select(left);
}
