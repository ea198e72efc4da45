// A batch of one lane's records, kept in its wire form: read by offsets, forwarded by copying spans. A batch owns
// its memory: nobody writes to `bytes` after it was made, and no view of it outlives the need for all of it.
// Layout of etl.record.v1.RecordBatch:
//   1 lane{1 pipeline, 2 source, 3 partition}  2 epoch  3 first_sequence  4 sequence_offsets (packed)
//   5 records, repeated  6 watermark

import { assert } from '../assert.ts';
import {
  readHeader,
  readRecord,
  readTimestamp,
  recordFields,
  recordTag,
  writeTimestamp,
} from './codec.ts';
import { type FieldName, ownField, scanField, unsure } from './field-scanner.ts';
import { parseJson } from './json.ts';
import { type Lane, type Record, recordId, type Timestamp } from './record.ts';
import { SpanList } from './spans.ts';
import { readText } from './text.ts';
import { malformed, WireReader, WireWriter, wireType } from './wire.ts';

/** Tag of RecordBatch.records. */
export const recordsTag = 0x2a;

/** Where and under which assignment a batch travels. */
export interface BatchHeader {
  readonly lane: Lane;
  /** Fencing number of the lane's assignment; a safe integer. */
  readonly epoch: number;
  /** Sequence of record 0, or the base of {@link sequenceOffsets}; a safe integer. */
  readonly firstSequence: number;
  /** Per record, its sequence less firstSequence. Undefined: record i has firstSequence + i. */
  readonly sequenceOffsets: Uint32Array | undefined;
  /** No earlier event time follows in this lane, as far as the source knows. */
  readonly watermark: Timestamp | undefined;
}

/** Records of one lane in position order, in wire form. Immutable. */
export class RecordBatch {
  readonly header: BatchHeader;
  /** `records` fields, tag and length included, one after the other. */
  readonly bytes: Buffer;
  /** For record i: [2i] start and [2i + 1] end of its fields in {@link bytes}. */
  readonly spans: Uint32Array;
  #values: unknown[] | undefined;

  /**
   * `bytes`, `spans` and `values` (payloads as {@link RecordBatch.value} gives them, as far as they are known) belong to
   * the batch from here on. Use a BatchBuilder or {@link RecordBatch.decode}.
   */
  constructor(header: BatchHeader, bytes: Buffer, spans: Uint32Array, values?: unknown[]) {
    assert(
      header.sequenceOffsets === undefined || header.sequenceOffsets.length === spans.length / 2,
      'one sequence offset per record',
    );
    this.header = header;
    this.bytes = bytes;
    this.spans = spans;
    this.#values = values;
  }

  get lane(): Lane {
    return this.header.lane;
  }

  get epoch(): number {
    return this.header.epoch;
  }

  /** Number of records. */
  get count(): number {
    return this.spans.length / 2;
  }

  /** Bytes of the records on the wire: what limits and credits count. */
  get byteLength(): number {
    return this.bytes.length;
  }

  /** Decodes all of record `index`. */
  record(index: number): Record {
    return readRecord(this.bytes, this.#start(index), this.#end(index));
  }

  /** The sequence of record `index`, for acknowledgement. */
  sequence(index: number): number {
    const { firstSequence, sequenceOffsets } = this.header;
    return (
      firstSequence + (sequenceOffsets === undefined ? index : (sequenceOffsets[index] as number))
    );
  }

  /** The id that a replay of record `index` has again. */
  id(index: number): string {
    return recordId(this.lane, {
      position: this.position(index),
      derivation: this.#text(index, recordTag.derivation),
      originId: this.#text(index, recordTag.originId),
    });
  }

  position(index: number): Buffer {
    return this.#view(index, recordTag.position);
  }

  key(index: number): Buffer {
    return this.#view(index, recordTag.key);
  }

  payload(index: number): Buffer {
    return this.#view(index, recordTag.payload);
  }

  type(index: number): string {
    return this.#text(index, recordTag.type);
  }

  derivation(index: number): string {
    return this.#text(index, recordTag.derivation);
  }

  contentType(index: number): string {
    return this.#text(index, recordTag.contentType);
  }

  eventTime(index: number): Timestamp | undefined {
    const at = this.#find(index, recordTag.eventTime);
    return at < 0 ? undefined : readTimestamp(this.bytes, at, this.#found);
  }

  /** One header of record `index`; undefined when it has none of that name. */
  headerValue(index: number, name: string): string | undefined {
    return this.headers(index).get(name);
  }

  /** All headers of record `index`. */
  headers(index: number): Map<string, string> {
    const headers = new Map<string, string>();
    const reader = new WireReader(this.bytes, this.#start(index), this.#end(index));
    while (reader.at < reader.end) {
      const tag = reader.tag();
      if (tag === recordTag.headers) {
        const end = reader.lengthEnd();
        readHeader(this.bytes, reader.at, end, headers);
        reader.at = end;
      } else {
        if ((tag & 7) === wireType.bytes) reader.skip(wireType.bytes);
        else reader.skipUnknown(tag, recordFields);
      }
    }
    return headers;
  }

  /**
   * The payload of record `index` parsed as JSON, once per batch. Integers beyond 2^53 come as bigint.
   * Never modify what it returns. Throws ETL_RECORD_MALFORMED when it is not JSON.
   */
  value(index: number): unknown {
    this.#values ??= [];
    const known = this.#values[index];
    if (known !== undefined) return known;
    const at = this.#find(index, recordTag.payload);
    const value = at < 0 ? parseJson(this.bytes, 0, 0) : parseJson(this.bytes, at, this.#found);
    this.#values[index] = value;
    return value;
  }

  /** What {@link RecordBatch.value} gives, where nothing has to be parsed for it; else undefined. */
  knownValue(index: number): unknown {
    return this.#values?.[index];
  }

  /**
   * The top-level field `name` of the payload of record `index`; undefined when there is none. Equals {@link value}'s
   * own property, at a third of the cost where nobody parsed the payload before. Throws as value() does.
   */
  field(index: number, name: FieldName): unknown {
    if (name.bytes !== undefined && this.#values?.[index] === undefined) {
      const at = this.#find(index, recordTag.payload);
      const scanned = at < 0 ? unsure : scanField(this.bytes, name.bytes, at, this.#found);
      if (scanned !== unsure) return scanned;
    }
    return ownField(this.value(index), name.text);
  }

  /** The same records under another header; shares memory, which is sound because batches are immutable. */
  withHeader(change: Partial<BatchHeader>): RecordBatch {
    const batch = new RecordBatch({ ...this.header, ...change }, this.bytes, this.spans);
    batch.#values = this.#values;
    return batch;
  }

  /** Records `from` (inclusive) to `to` (exclusive), in memory of their own. */
  slice(from: number, to: number): RecordBatch {
    if (from === 0 && to === this.count) return this;
    const indexes = new Uint32Array(Math.max(0, to - from));
    for (let index = 0; index < indexes.length; index++) indexes[index] = from + index;
    return this.select(indexes);
  }

  /** The records at `indexes` (ascending), copied by span into memory of their own. */
  select(indexes: ArrayLike<number>): RecordBatch {
    const count = indexes.length;
    let size = 0;
    for (let i = 0; i < count; i++) {
      const index = indexes[i] as number;
      size += this.#end(index) - this.#entry(index);
    }
    const bytes = Buffer.allocUnsafeSlow(size);
    const spans = new Uint32Array(count * 2);
    const offsets = new Uint32Array(count);
    const { firstSequence } = this.header;
    let at = 0;
    for (let i = 0; i < count; ) {
      const first = indexes[i] as number;
      let last = first;
      const entry = this.#entry(first);
      const shift = at - entry;
      for (; i < count && (indexes[i] === last || indexes[i] === last + 1); i++) {
        last = indexes[i] as number;
        spans[2 * i] = this.#start(last) + shift;
        spans[2 * i + 1] = this.#end(last) + shift;
        offsets[i] = this.sequence(last) - firstSequence;
      }
      at += this.bytes.copy(bytes, at, entry, this.#end(last));
    }
    const selected = new RecordBatch({ ...this.header, sequenceOffsets: offsets }, bytes, spans);
    const values = this.#values;
    if (values !== undefined) selected.#values = Array.from(indexes, (index) => values[index]);
    return selected;
  }

  /** The batch as one RecordBatch message. */
  toBytes(): Buffer {
    const { lane, epoch, firstSequence, sequenceOffsets, watermark } = this.header;
    const head = new WireWriter(
      64 + lane.pipeline.length + lane.source.length + lane.partition.length,
    );
    const laneWriter = new WireWriter(64);
    if (lane.pipeline) laneWriter.string(0x0a, lane.pipeline);
    if (lane.source) laneWriter.string(0x12, lane.source);
    if (lane.partition) laneWriter.string(0x1a, lane.partition);
    head.bytes(0x0a, laneWriter.take());
    head.reserve(24);
    if (epoch !== 0) writeField(head, 0x10, epoch);
    if (firstSequence !== 0) writeField(head, 0x18, firstSequence);
    if (sequenceOffsets !== undefined && sequenceOffsets.length > 0) {
      const packed = new WireWriter(sequenceOffsets.length * 5);
      for (const offset of sequenceOffsets) packed.varint(offset);
      head.bytes(0x22, packed.take());
    }
    const tail = new WireWriter(32);
    if (watermark !== undefined) writeTimestamp(tail, 0x32, watermark);
    return Buffer.concat([head.take(), this.bytes, tail.take()]);
  }

  /**
   * Opens a RecordBatch message by indexing it; records are not validated until they are read. The batch keeps a
   * copy of what it needs, so `message` may be reused. Throws ETL_INVALID_ARGUMENT on malformed bytes.
   */
  static decode(message: Uint8Array): RecordBatch {
    return RecordBatch.adopt(Buffer.from(message));
  }

  /** Like {@link RecordBatch.decode}, but without a copy: nobody may write to `message` ever again. */
  static adopt(message: Buffer): RecordBatch {
    return decodeBatch(message);
  }

  /** The batch of no records. */
  static empty(header: BatchHeader): RecordBatch {
    return new RecordBatch(
      { ...header, sequenceOffsets: undefined },
      Buffer.alloc(0),
      new Uint32Array(0),
    );
  }

  #found = 0;

  /** Offset of the last value of a length-delimited field, its end in #found; -1 when absent. */
  #find(index: number, wanted: number): number {
    const bytes = this.bytes;
    const end = this.#end(index);
    let at = this.#start(index);
    let result = -1;
    while (at < end) {
      const tag = bytes[at] as number;
      let length = bytes[at + 1] as number;
      if (tag > 127 || (tag & 7) !== 2 || at + 1 >= end) return this.#findSlowly(index, wanted);
      at += 2;
      if (length > 127) {
        const reader = new WireReader(bytes, at - 1, end);
        length = reader.varint();
        at = reader.at;
      }
      if (at + length > end) throw malformed('length runs past the end');
      if (tag === wanted) {
        result = at;
        this.#found = at + length;
      }
      at += length;
    }
    return result;
  }

  #findSlowly(index: number, wanted: number): number {
    const reader = new WireReader(this.bytes, this.#start(index), this.#end(index));
    let result = -1;
    while (reader.at < reader.end) {
      const tag = reader.tag();
      if (tag === wanted) {
        this.#found = reader.lengthEnd();
        result = reader.at;
        reader.at = this.#found;
      } else {
        if ((tag & 7) === wireType.bytes) reader.skip(wireType.bytes);
        else reader.skipUnknown(tag, recordFields);
      }
    }
    return result;
  }

  #view(index: number, tag: number): Buffer {
    const at = this.#find(index, tag);
    return at < 0 ? noBytes : this.bytes.subarray(at, this.#found);
  }

  #text(index: number, tag: number): string {
    const at = this.#find(index, tag);
    return at < 0 ? '' : readText(this.bytes, at, this.#found);
  }

  /** Where the entry of record `index`, tag and length included, begins: the end of the one before. */
  #entry(index: number): number {
    return index === 0 ? 0 : (this.spans[2 * index - 1] as number);
  }

  #start(index: number): number {
    const start = this.spans[2 * index];
    assert(start !== undefined, 'record index within the batch');
    return start;
  }

  #end(index: number): number {
    return this.spans[2 * index + 1] as number;
  }
}

const noBytes = Buffer.alloc(0);

function writeField(writer: WireWriter, tag: number, value: number): void {
  writer.buffer[writer.length++] = tag;
  writer.varint(value);
}

/** Neighbouring `records` fields of a message: nearly always one for all records. */
interface Run {
  /** Index of the first record in it. */
  readonly first: number;
  readonly from: number;
  readonly to: number;
}

function decodeBatch(source: Buffer): RecordBatch {
  const reader = new WireReader(source);
  let lane: Lane = { pipeline: '', source: '', partition: '' };
  let epoch = 0;
  let firstSequence = 0;
  let watermark: Timestamp | undefined;
  const offsets: number[] = [];
  const runs: Run[] = [];
  const spans = new SpanList(source.length >>> 7);
  while (reader.at < reader.end) {
    const entry = reader.at;
    const tag = reader.tag();
    if (tag === recordsTag) {
      const first = spans.count;
      const end = reader.lengthEnd();
      spans.push(reader.at, end);
      reader.at = end;
      readRun(reader, spans);
      runs.push({ first, from: entry, to: reader.at });
    } else if (tag === 0x0a || tag === 0x22 || tag === 0x32) {
      const end = reader.lengthEnd();
      if (tag === 0x0a) lane = readLane(source, reader.at, end);
      else if (tag === 0x32) watermark = readTimestamp(source, reader.at, end);
      else readOffsets(source, reader.at, end, offsets);
      reader.at = end;
    } else if (tag === 0x10) epoch = reader.varint();
    else if (tag === 0x18) firstSequence = reader.varint();
    else if (tag === 0x20) offsets.push(reader.varint());
    else reader.skipUnknown(tag, 6);
  }
  if (offsets.length > 0 && offsets.length !== spans.count) {
    throw malformed(`${offsets.length} sequence_offsets for ${spans.count} records`);
  }
  const sequenceOffsets = offsets.length > 0 ? Uint32Array.from(offsets) : undefined;
  const header = { lane, epoch, firstSequence, sequenceOffsets, watermark };
  const bounds = spans.take();
  return new RecordBatch(header, gather(source, runs, bounds), bounds);
}

/** Notes the spans of the `records` fields from the reader on, up to the first field that is another. */
function readRun(reader: WireReader, spans: SpanList): void {
  const { bytes, end } = reader;
  let at = reader.at;
  while (at < end && bytes[at] === recordsTag) {
    let length = bytes[at + 1] as number;
    let start = at + 2;
    if (length > 127 && start < end) {
      length = (length & 127) | ((bytes[start++] as number) << 7);
    }
    if (start > end || length > 0x3fff) {
      reader.at = at + 1;
      length = reader.lengthEnd() - reader.at;
      start = reader.at;
    }
    at = start + length;
    if (at > end) throw malformed('length runs past the end');
    spans.push(start, at);
  }
  reader.at = at;
}

/** The runs one after the other, and `spans` moved from the message's offsets to theirs. A single run is a view. */
function gather(source: Buffer, runs: readonly Run[], spans: Uint32Array): Buffer {
  const size = runs.reduce((total, run) => total + run.to - run.from, 0);
  const copy = runs.length > 1 ? Buffer.allocUnsafeSlow(size) : undefined;
  let at = 0;
  for (const [index, run] of runs.entries()) {
    const end = 2 * (runs[index + 1]?.first ?? spans.length / 2);
    const shift = run.from - at;
    for (let bound = 2 * run.first; bound < end; bound++) {
      spans[bound] = (spans[bound] as number) - shift;
    }
    if (copy !== undefined) source.copy(copy, at, run.from, run.to);
    at += run.to - run.from;
  }
  return copy ?? source.subarray(runs[0]?.from ?? 0, runs[0]?.to ?? 0);
}

function readOffsets(bytes: Buffer, from: number, to: number, offsets: number[]): void {
  const reader = new WireReader(bytes, from, to);
  while (reader.at < to) offsets.push(reader.varint());
}

function readLane(bytes: Buffer, from: number, to: number): Lane {
  const reader = new WireReader(bytes, from, to);
  let pipeline = '';
  let source = '';
  let partition = '';
  while (reader.at < to) {
    const tag = reader.tag();
    if (tag !== 0x0a && tag !== 0x12 && tag !== 0x1a) {
      reader.skipUnknown(tag, 3);
      continue;
    }
    const end = reader.lengthEnd();
    const text = readText(bytes, reader.at, end);
    reader.at = end;
    if (tag === 0x0a) pipeline = text;
    else if (tag === 0x12) source = text;
    else partition = text;
  }
  return { pipeline, source, partition };
}
