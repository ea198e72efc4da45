// Makes batches out of records: the way of everything that produces records or changes them. What it built is
// never written again.

import { assert } from '../assert.ts';
import { type BatchHeader, RecordBatch, recordsTag } from './batch.ts';
import { type RecordFields, recordTag, writeRecord } from './codec.ts';
import { SpanList } from './spans.ts';
import { WireWriter } from './wire.ts';

/** Builds a batch record by record. One builder makes one batch after the other. */
export class BatchBuilder {
  readonly #writer: WireWriter;
  readonly #spans = new SpanList();
  #sequences: number[] | undefined;

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
   * Appends a record that has a position that counts, a content type and a payload: what a source of lines makes, in one
   * pass. `contentType` is what {@link encodeContentType} made of it.
   */
  appendLine(
    position: number,
    contentType: Buffer,
    payload: { bytes: Buffer; from: number; to: number },
  ): void {
    this.#sequence(undefined);
    const { bytes, from, to } = payload;
    const writer = this.#writer;
    writer.reserve(to - from + contentType.length + 32);
    const lengthAt = writer.open(recordsTag, 2);
    const { buffer } = writer;
    let at = writer.length;
    buffer[at] = recordTag.position;
    buffer[at + 1] = 8;
    buffer.writeUInt32BE(Math.floor(position / 0x1_0000_0000), at + 2);
    buffer.writeUInt32BE(position >>> 0, at + 6);
    at += 10;
    at += contentType.copy(buffer, at);
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
    this.#sequence(batch.sequence(index));
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
    const { contentType: before, ...record } = batch.record(index);
    this.append({ ...record, payload, contentType: contentType ?? before }, batch.sequence(index));
  }

  /** The batch of what was appended; the builder starts over. */
  build(header: Omit<BatchHeader, 'sequenceOffsets'>): RecordBatch {
    const bytes = this.#writer.take();
    const spans = this.#spans.take();
    const sequences = this.#sequences;
    this.#sequences = undefined;
    if (sequences === undefined) {
      return new RecordBatch({ ...header, sequenceOffsets: undefined }, bytes, spans);
    }
    const firstSequence = sequences[0] ?? header.firstSequence;
    const sequenceOffsets = Uint32Array.from(sequences, (sequence) => {
      const offset = sequence - firstSequence;
      assert(offset >= 0 && offset < 2 ** 32, 'sequences of a batch ascend by less than 2^32');
      return offset;
    });
    return new RecordBatch({ ...header, firstSequence, sequenceOffsets }, bytes, spans);
  }

  #sequence(sequence: number | undefined): void {
    assert(
      this.#spans.count === 0 || (this.#sequences === undefined) === (sequence === undefined),
      'sequences for all or none',
    );
    if (sequence !== undefined) (this.#sequences ??= []).push(sequence);
  }
}

/** A content type as {@link BatchBuilder.appendLine} takes it. */
export function encodeContentType(contentType: string): Buffer {
  const writer = new WireWriter(contentType.length * 3 + 8);
  writer.string(recordTag.contentType, contentType);
  return writer.take();
}
