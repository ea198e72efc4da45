// Encodes and decodes etl.record.v1.Record, the one message the record path spends its time on. Byte-identical to
// the generated code (proto/test/record-codec.test.ts compares them on random records). Fields, in wire order:
//   1 position  2 derivation  3 origin_id  4 type  5 key  6 headers{1 name, 2 value}
//   7 event_time{1 seconds, 2 nanos}  8 ingest_time  9 content_type  10 payload

import type { Record, Timestamp } from './record.ts';
import { readText } from './text.ts';
import { malformed, WireReader, type WireWriter, wireType } from './wire.ts';

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

/** Fields of Record: 1 to this. */
export const recordFields = 10;

type Mutable<T> = { -readonly [Field in keyof T]: T[Field] };

/** Tags of an entry of Record.headers. */
const headerTag = { name: 0x0a, value: 0x12 } as const;

/** Tags of google.protobuf.Timestamp. */
const timestampTag = { seconds: 0x08, nanos: 0x10 } as const;

const secondsMin = -62_135_596_800;
const secondsMax = 253_402_300_799;
const nanosMax = 999_999_999;

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
    const lengthAt = writer.open(recordTag.headers, 1);
    writer.string(headerTag.name, name);
    writer.string(headerTag.value, value);
    writer.close(lengthAt, 1);
  }
}

/** Appends a google.protobuf.Timestamp under `tag`. */
export function writeTimestamp(writer: WireWriter, tag: number, time: Timestamp): void {
  const lengthAt = writer.open(tag, 1);
  writer.reserve(24);
  if (time.seconds !== 0) {
    writer.buffer[writer.length++] = timestampTag.seconds;
    writer.int64(time.seconds);
  }
  if (time.nanos !== 0) {
    writer.buffer[writer.length++] = timestampTag.nanos;
    writer.varint(time.nanos);
  }
  writer.close(lengthAt, 1);
}

/**
 * Decodes the fields of one record between `start` and `end`. Bytes fields are views of `bytes`.
 * Unknown fields are skipped. Throws ETL_INVALID_ARGUMENT on anything that is not the message.
 */
export function readRecord(bytes: Buffer, start: number, end: number): Record {
  const record: Mutable<Record> = {
    position: noBytes,
    derivation: '',
    originId: '',
    type: '',
    key: noBytes,
    headers: noHeaders,
    eventTime: undefined,
    ingestTime: undefined,
    contentType: '',
    payload: noBytes,
  };
  let headers: Map<string, string> | undefined;
  let at = start;
  while (at < end) {
    let tag = bytes[at] as number;
    let from = at + 2;
    let to = at + 1 < end ? from + (bytes[at + 1] as number) : end + 1;
    if (tag > 127 || (tag & 7) !== wireType.bytes || to > from + 127) {
      const reader = new WireReader(bytes, at, end);
      tag = reader.tag();
      if ((tag & 7) !== wireType.bytes) {
        reader.skipUnknown(tag, recordFields);
        at = reader.at;
        continue;
      }
      to = reader.lengthEnd();
      from = reader.at;
    } else if (to > end) throw malformed('length runs past the end');
    at = to;
    switch (tag) {
      case recordTag.position:
        record.position = bytes.subarray(from, to);
        break;
      case recordTag.derivation:
        record.derivation = readText(bytes, from, to);
        break;
      case recordTag.originId:
        record.originId = readText(bytes, from, to);
        break;
      case recordTag.type:
        record.type = readText(bytes, from, to);
        break;
      case recordTag.key:
        record.key = bytes.subarray(from, to);
        break;
      case recordTag.headers:
        record.headers = headers ??= new Map();
        readHeader(bytes, from, to, headers);
        break;
      case recordTag.eventTime:
        record.eventTime = readTimestamp(bytes, from, to);
        break;
      case recordTag.ingestTime:
        record.ingestTime = readTimestamp(bytes, from, to);
        break;
      case recordTag.contentType:
        record.contentType = readText(bytes, from, to);
        break;
      case recordTag.payload:
        record.payload = bytes.subarray(from, to);
        break;
      default:
        if (tag < 8) throw malformed('field number 0');
    }
  }
  return record;
}

/** Adds the map entry between two offsets to `headers`. */
export function readHeader(
  bytes: Buffer,
  from: number,
  to: number,
  headers: Map<string, string>,
): void {
  const nameTo = from + 2 + (bytes[from + 1] as number);
  const valueFrom = nameTo + 2;
  if (
    bytes[from] === headerTag.name &&
    nameTo <= from + 129 &&
    valueFrom <= to &&
    bytes[nameTo] === headerTag.value &&
    bytes[nameTo + 1] === to - valueFrom &&
    to - valueFrom < 128
  ) {
    headers.set(readText(bytes, from + 2, nameTo), readText(bytes, valueFrom, to));
  } else {
    readAnyHeader(bytes, from, to, headers);
  }
}

/** The map entry in whatever form protobuf allows: long, in another order, in parts, with unknown fields. */
function readAnyHeader(
  bytes: Buffer,
  from: number,
  to: number,
  headers: Map<string, string>,
): void {
  let name = '';
  let value = '';
  const reader = new WireReader(bytes, from, to);
  while (reader.at < to) {
    const tag = reader.tag();
    if (tag === headerTag.name || tag === headerTag.value) {
      const end = reader.lengthEnd();
      if (tag === headerTag.name) name = readText(bytes, reader.at, end);
      else value = readText(bytes, reader.at, end);
      reader.at = end;
    } else {
      reader.skipUnknown(tag, 2);
    }
  }
  headers.set(name, value);
}

/** Decodes a google.protobuf.Timestamp; one outside years 1 to 9999 is refused. */
export function readTimestamp(bytes: Buffer, from: number, to: number): Timestamp {
  return readUsualTimestamp(bytes, from, to) ?? readAnyTimestamp(bytes, from, to);
}

/** One between 1978 and 3058: a tag, seconds of five bytes, a tag, nanos up to the end. Else undefined. */
function readUsualTimestamp(bytes: Buffer, from: number, to: number): Timestamp | undefined {
  const nanosTag = from + 6;
  if (to < nanosTag + 2 || to > nanosTag + 6) return undefined;
  if (bytes[from] !== timestampTag.seconds || bytes[nanosTag] !== timestampTag.nanos)
    return undefined;
  let low = 0;
  for (let at = from + 1; at < from + 5; at++) {
    const byte = bytes[at] as number;
    if (byte < 128) return undefined;
    low |= (byte & 127) << (7 * (at - from - 1));
  }
  const high = bytes[from + 5] as number;
  let nanos = 0;
  for (let at = to - 1; at > nanosTag; at--) {
    const byte = bytes[at] as number;
    if (byte < 128 !== (at === to - 1)) return undefined;
    nanos = nanos * 128 + (byte & 127);
  }
  if (high > 127 || nanos > nanosMax) return undefined;
  return { seconds: low + high * 0x1000_0000, nanos };
}

function readAnyTimestamp(bytes: Buffer, from: number, to: number): Timestamp {
  const reader = new WireReader(bytes, from, to);
  let seconds = 0;
  let nanos = 0;
  while (reader.at < to) {
    const tag = reader.tag();
    if (tag === timestampTag.seconds) seconds = reader.int64();
    else if (tag === timestampTag.nanos) nanos = reader.int64();
    else reader.skipUnknown(tag, 2);
  }
  if (seconds < secondsMin || seconds > secondsMax || nanos < 0 || nanos > nanosMax) {
    throw malformed(`timestamp ${seconds}s ${nanos}ns is outside years 1 to 9999`);
  }
  return { seconds, nanos };
}
