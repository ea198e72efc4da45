// Makes batches out of records: the way of everything that produces records or changes them. What it built is
// never written again.

import { assert } from '../assert.ts';
import { type BatchHeader, RecordBatch, recordsTag } from './batch.ts';
import { type RecordFields, recordTag, writeRecord } from './codec.ts';
import { stringifyJsonText } from './json.ts';
import { SpanList } from './spans.ts';
import { WireReader, WireWriter } from './wire.ts';

/** Builds a batch record by record. One builder makes one batch after the other. */
export class BatchBuilder {
  readonly #writer: WireWriter;
  readonly #spans = new SpanList();
  #sequences: number[] | undefined;
  #values: unknown[] | undefined;

  /** `capacityBytes` is the first size of its buffer, which grows as needed. */
  constructor(capacityBytes = 64 * 1024) {
    this.#writer = new WireWriter(capacityBytes);
  }

  /** Records appended since the last build. */
  get count(): number {
    return this.#spans.count;
  }

  /** Bytes appended since the last build. */
  get byteLength(): number {
    return this.#writer.length;
  }

  /** Appends a record. Its sequence is dense unless `sequence` is given, for every record of a batch or for none. */
  append(record: RecordFields, sequence?: number): void {
    this.#sequence(sequence);
    const writer = this.#writer;
    const lengthAt = writer.open(recordsTag, 2);
    writeRecord(writer, record);
    const size = writer.length - lengthAt - 2;
    writer.close(lengthAt, 2);
    this.#spans.push(writer.length - size, writer.length);
  }

  /**
   * Appends a record of a position, a payload and what all records of a source have in common: what a source of lines
   * makes, in one pass. `common` is what {@link encodeCommonFields} made; the position has at most 127 bytes.
   */
  appendLine(
    position: Uint8Array,
    common: Buffer,
    payload: { readonly bytes: Buffer; readonly from: number; readonly to: number },
  ): void {
    this.#sequence(undefined, undefined);
    const { bytes, from, to } = payload;
    const writer = this.#writer;
    writer.reserve(to - from + position.length + common.length + 24);
    const lengthAt = writer.open(recordsTag, 2);
    const { buffer } = writer;
    let at = writer.length;
    buffer[at++] = recordTag.position;
    buffer[at++] = position.length;
    for (let index = 0; index < position.length; index++) buffer[at++] = position[index] as number;
    for (let index = 0; index < common.length; index++) buffer[at++] = common[index] as number;
    if (to > from) {
      buffer[at++] = recordTag.payload;
      writer.length = at;
      writer.varint(to - from);
      at = writer.length;
      at += bytes.copy(buffer, at, from, to);
    }
    writer.length = at;
    const size = writer.length - lengthAt - 2;
    writer.close(lengthAt, 2);
    this.#spans.push(writer.length - size, writer.length);
  }

  /** Appends record `index` of `batch` as it is, keeping its sequence. */
  appendFrom(batch: RecordBatch, index: number): void {
    const start = batch.spans[2 * index] as number;
    const end = batch.spans[2 * index + 1] as number;
    this.#sequence(batch.sequence(index), batch.knownValue(index));
    const writer = this.#writer;
    writer.reserve(end - start + 8);
    writer.buffer[writer.length++] = recordsTag;
    writer.varint(end - start);
    const at = writer.length;
    writer.length += batch.bytes.copy(writer.buffer, at, start, end);
    this.#spans.push(at, writer.length);
  }

  /**
   * Appends record `index` of `batch` with another payload (and content type, where given), keeping everything
   * else and its sequence: what a one-to-one transform does.
   */
  appendWithPayload(
    batch: RecordBatch,
    index: number,
    payload: Uint8Array,
    contentType?: string,
  ): void {
    if (contentType === undefined) {
      this.#splicePayload({ batch, index }, payload, undefined);
      return;
    }
    this.append({ ...batch.record(index), payload, contentType }, batch.sequence(index));
  }

  /**
   * Like {@link BatchBuilder.appendWithPayload}, but the payload is the JSON of `value`, and the batch keeps the value so
   * that whoever reads it next need not parse it. It has to be what parsing its JSON gives: no NaN, no undefined members,
   * bigint only beyond 2^53. Nobody may modify it any more.
   */
  appendWithValue(batch: RecordBatch, index: number, value: unknown): void {
    this.#splicePayload({ batch, index }, stringifyJsonText(value), value);
  }

  /** Copies all fields of a record but its payload, and puts the other payload behind them. */
  #splicePayload(
    { batch, index }: { readonly batch: RecordBatch; readonly index: number },
    payload: Uint8Array | string,
    value: unknown,
  ): void {
    const start = batch.spans[2 * index] as number;
    const end = batch.spans[2 * index + 1] as number;
    this.#sequence(batch.sequence(index), value);
    const writer = this.#writer;
    writer.reserve(end - start + payload.length + 16);
    const lengthAt = writer.open(recordsTag, 2);
    const reader = new WireReader(batch.bytes, start, end);
    let from = start;
    while (reader.at < end) {
      const field = reader.at;
      const tag = reader.tag();
      reader.skip(tag & 7);
      if (tag !== recordTag.payload) continue;
      writer.length += batch.bytes.copy(writer.buffer, writer.length, from, field);
      from = reader.at;
    }
    writer.length += batch.bytes.copy(writer.buffer, writer.length, from, end);
    if (typeof payload === 'string') writer.string(recordTag.payload, payload);
    else if (payload.length > 0) writer.bytes(recordTag.payload, payload);
    const size = writer.length - lengthAt - 2;
    writer.close(lengthAt, 2);
    this.#spans.push(writer.length - size, writer.length);
  }

  /** The batch of what was appended; the builder starts over. */
  build(header: Omit<BatchHeader, 'sequenceOffsets'>): RecordBatch {
    const bytes = this.#writer.take();
    const spans = this.#spans.take();
    const sequences = this.#sequences;
    const values = this.#values;
    this.#sequences = undefined;
    this.#values = undefined;
    if (sequences === undefined) {
      return new RecordBatch({ ...header, sequenceOffsets: undefined }, bytes, spans);
    }
    const firstSequence = sequences[0] ?? header.firstSequence;
    const sequenceOffsets = Uint32Array.from(sequences, (sequence) => {
      const offset = sequence - firstSequence;
      assert(offset >= 0 && offset < 2 ** 32, 'sequences of a batch ascend by less than 2^32');
      return offset;
    });
    return new RecordBatch({ ...header, firstSequence, sequenceOffsets }, bytes, spans, values);
  }

  /** Notes the sequence of the record that comes next, and its payload's value where that is known. */
  #sequence(sequence: number | undefined, value?: unknown): void {
    assert(
      this.#spans.count === 0 || (this.#sequences === undefined) === (sequence === undefined),
      'sequences for all or none',
    );
    if (sequence !== undefined) (this.#sequences ??= []).push(sequence);
    if (value !== undefined || this.#values !== undefined) {
      this.#values ??= new Array<unknown>(this.#spans.count).fill(undefined);
      this.#values.push(value);
    }
  }
}

/** What the records of a source have in common, as {@link BatchBuilder.appendLine} takes it. */
export function encodeCommonFields(fields: {
  readonly type?: string;
  readonly contentType?: string;
}): Buffer {
  const writer = new WireWriter(64);
  if (fields.type) writer.string(recordTag.type, fields.type);
  if (fields.contentType) writer.string(recordTag.contentType, fields.contentType);
  return writer.take();
}
