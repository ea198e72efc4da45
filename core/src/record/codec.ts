// Encodes and decodes etl.record.v1.Record, the one message the record path spends its time on. Byte-identical to
// the generated code (proto/test/record-codec.test.ts compares them on random records). Fields, in wire order:
//   1 position  2 derivation  3 origin_id  4 type  5 key  6 headers{1 name, 2 value}
//   7 event_time{1 seconds, 2 nanos}  8 ingest_time  9 content_type  10 payload

import type { Record, Timestamp } from './record.ts';
import { malformed, varintSize, WireReader, WireWriter, wireType } from './wire.ts';

const noBytes: Uint8Array = new Uint8Array(0);
const noHeaders: ReadonlyMap<string, string> = new Map();

/** Tags (field number and wire type) of Record's fields. */
export const recordTag = {
  position: 0x0a,
  derivation: 0x12,
  originId: 0x1a,
  type: 0x22,
  key: 0x2a,
  headers: 0x32,
  eventTime: 0x3a,
  ingestTime: 0x42,
  contentType: 0x4a,
  payload: 0x52,
} as const;

/** What a producer says of a record; everything but the position may be left out. */
export type RecordFields = Pick<Record, 'position'> & Partial<Record>;

/** Appends the fields of one record, without tag or length of their own. */
export function writeRecord(writer: WireWriter, record: RecordFields): void {
  if (record.position.length > 0) writer.bytes(recordTag.position, record.position);
  if (record.derivation) writer.string(recordTag.derivation, record.derivation);
  if (record.originId) writer.string(recordTag.originId, record.originId);
  if (record.type) writer.string(recordTag.type, record.type);
  if (record.key !== undefined && record.key.length > 0) writer.bytes(recordTag.key, record.key);
  if (record.headers !== undefined && record.headers.size > 0) writeHeaders(writer, record.headers);
  if (record.eventTime !== undefined) writeTimestamp(writer, recordTag.eventTime, record.eventTime);
  if (record.ingestTime !== undefined)
    writeTimestamp(writer, recordTag.ingestTime, record.ingestTime);
  if (record.contentType) writer.string(recordTag.contentType, record.contentType);
  if (record.payload !== undefined && record.payload.length > 0) {
    writer.bytes(recordTag.payload, record.payload);
  }
}

function writeHeaders(writer: WireWriter, headers: ReadonlyMap<string, string>): void {
  for (const [name, value] of headers) {
    const nameSize = Buffer.byteLength(name);
    const valueSize = Buffer.byteLength(value);
    const size = 2 + varintSize(nameSize) + nameSize + varintSize(valueSize) + valueSize;
    writer.reserve(size + 8);
    writer.buffer[writer.length++] = recordTag.headers;
    writer.varint(size);
    writer.string(0x0a, name);
    writer.string(0x12, value);
  }
}

/** Appends a google.protobuf.Timestamp under `tag`. */
export function writeTimestamp(writer: WireWriter, tag: number, time: Timestamp): void {
  writer.reserve(24);
  writer.buffer[writer.length++] = tag;
  const lengthAt = writer.length++;
  if (time.seconds !== 0) {
    writer.buffer[writer.length++] = 0x08;
    writer.int64(time.seconds);
  }
  if (time.nanos !== 0) {
    writer.buffer[writer.length++] = 0x10;
    writer.varint(time.nanos);
  }
  writer.buffer[lengthAt] = writer.length - lengthAt - 1;
}

/**
 * Decodes the fields of one record between `start` and `end`. Bytes fields are views of `bytes`.
 * Unknown fields are skipped. Throws ETL_INVALID_ARGUMENT on anything that is not the message.
 */
export function readRecord(bytes: Buffer, start: number, end: number): Record {
  const reader = new WireReader(bytes, start, end);
  let [position, key, payload] = [noBytes, noBytes, noBytes];
  let [derivation, originId, type, contentType] = ['', '', '', ''];
  let headers: Map<string, string> | undefined;
  let eventTime: Timestamp | undefined;
  let ingestTime: Timestamp | undefined;
  while (reader.at < end) {
    const tag = reader.varint();
    if ((tag & 7) !== wireType.bytes) {
      skipUnknown(reader, tag);
      continue;
    }
    const to = reader.lengthEnd();
    const from = reader.at;
    reader.at = to;
    switch (tag) {
      case recordTag.position:
        position = bytes.subarray(from, to);
        break;
      case recordTag.derivation:
        derivation = readText(bytes, from, to);
        break;
      case recordTag.originId:
        originId = readText(bytes, from, to);
        break;
      case recordTag.type:
        type = readText(bytes, from, to);
        break;
      case recordTag.key:
        key = bytes.subarray(from, to);
        break;
      case recordTag.headers:
        headers ??= new Map();
        readHeader(bytes, from, to, headers);
        break;
      case recordTag.eventTime:
        eventTime = readTimestamp(bytes, from, to);
        break;
      case recordTag.ingestTime:
        ingestTime = readTimestamp(bytes, from, to);
        break;
      case recordTag.contentType:
        contentType = readText(bytes, from, to);
        break;
      case recordTag.payload:
        payload = bytes.subarray(from, to);
        break;
      default:
    }
  }
  return {
    position,
    derivation,
    originId,
    type,
    key,
    headers: headers ?? noHeaders,
    eventTime,
    ingestTime,
    contentType,
    payload,
  };
}

function skipUnknown(reader: WireReader, tag: number): void {
  if (tag >>> 3 === 0) throw malformed('field number 0');
  if (tag >>> 3 <= 10) throw malformed(`field ${tag >>> 3} of Record has wire type ${tag & 7}`);
  reader.skip(tag & 7);
}

/** UTF-8 between two offsets; short ASCII avoids the call into the runtime. */
export function readText(bytes: Buffer, from: number, to: number): string {
  const length = to - from;
  if (length === 0) return '';
  if (length < 24) {
    let text = '';
    for (let at = from; at < to; at++) {
      const code = bytes[at] as number;
      if (code > 127) return bytes.toString('utf8', from, to);
      text += String.fromCharCode(code);
    }
    return text;
  }
  return bytes.toString('utf8', from, to);
}

/** Adds the map entry between two offsets to `headers`. */
export function readHeader(
  bytes: Buffer,
  from: number,
  to: number,
  headers: Map<string, string>,
): void {
  let [name, value] = ['', ''];
  const reader = new WireReader(bytes, from, to);
  while (reader.at < to) {
    const tag = reader.varint();
    if (tag === 0x0a || tag === 0x12) {
      const end = reader.lengthEnd();
      if (tag === 0x0a) name = readText(bytes, reader.at, end);
      else value = readText(bytes, reader.at, end);
      reader.at = end;
    } else {
      reader.skip(tag & 7);
    }
  }
  headers.set(name, value);
}

/** Decodes a google.protobuf.Timestamp; one outside years 1 to 9999 is refused. */
export function readTimestamp(bytes: Buffer, from: number, to: number): Timestamp {
  const reader = new WireReader(bytes, from, to);
  let [seconds, nanos] = [0, 0];
  while (reader.at < to) {
    const tag = reader.varint();
    if (tag === 0x08) seconds = reader.int64();
    else if (tag === 0x10) nanos = reader.int64();
    else reader.skip(tag & 7);
  }
  if (seconds < -62135596800 || seconds > 253402300799 || nanos < 0 || nanos > 999_999_999) {
    throw malformed(`timestamp ${seconds}s ${nanos}ns is outside years 1 to 9999`);
  }
  return { seconds, nanos };
}
