// What a record is, in memory. On the wire it is etl.record.v1.Record (proto/etl/record/v1/record.proto);
// codec.ts converts. Most records never take this form: stages read single fields off the wire (batch.ts).

/** A point in time with nanoseconds: seconds since the Unix epoch, years 1 to 9999 (google.protobuf.Timestamp). */
export interface Timestamp {
  /** -62135596800 to 253402300799. */
  readonly seconds: number;
  /** 0 to 999999999, always counting forward. */
  readonly nanos: number;
}

/** The unit of order, assignment, credit and acknowledgement. */
export interface Lane {
  /** `namespace/name` of the pipeline. */
  readonly pipeline: string;
  /** Name of the pipeline's stage that reads the records. */
  readonly source: string;
  /** The source's own name for one ordered sequence of records, such as a file or a table's shard. */
  readonly partition: string;
}

/** One record. Absent strings and bytes are empty, as on the wire. */
export interface Record {
  /** Where the source found it; byte order is source order within the lane. Never empty once it left its source. */
  readonly position: Uint8Array;
  /** `.stage.ordinal` for each stage that made several records of one (since it was sent again), else empty. */
  readonly derivation: string;
  /** Set when the record was sent again from the dead letters: the id it had then. Else empty. */
  readonly originId: string;
  /** What happened, such as `io.example.order.v1`. */
  readonly type: string;
  /** What it is about; equal keys keep their order within a lane. */
  readonly key: Uint8Array;
  readonly headers: ReadonlyMap<string, string>;
  /** When it happened, by the source's clock. */
  readonly eventTime: Timestamp | undefined;
  /** When the pipeline first saw it. */
  readonly ingestTime: Timestamp | undefined;
  /** Media type of the payload, such as `application/json`. */
  readonly contentType: string;
  readonly payload: Uint8Array;
}

/** `pipeline/source/partition`, for logs and map keys; each part has `%` and `/` escaped but the pipeline's own `/`. */
export function laneKey(lane: Lane): string {
  return `${lane.pipeline}/${escapePart(lane.source)}/${escapePart(lane.partition)}`;
}

/**
 * The id every replay of the same record has again: `source/partition/position-in-hex` and the derivation. What comes
 * from the dead letters has the id it was first given instead, and the derivation since then.
 */
export function recordId(
  lane: Lane,
  record: Pick<Record, 'position' | 'derivation' | 'originId'>,
): string {
  if (record.originId !== '') return `${record.originId}${record.derivation}`;
  return `${escapePart(lane.source)}/${escapePart(lane.partition)}/${toHex(record.position)}${record.derivation}`;
}

/** Order of positions: byte by byte, a prefix first. Negative, zero or positive. */
export function comparePositions(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let index = 0; index < shared; index++) {
    const difference = (a[index] as number) - (b[index] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Encodes a count (0 to 2^53 - 1) as 8 big-endian bytes, so that byte order is numeric order. */
export function positionOfCount(count: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const high = Math.floor(count / 0x1_0000_0000);
  // Byte by byte: a DataView, or a call that needs the ArrayBuffer, would cost several times as much.
  for (let index = 0; index < 4; index++) {
    bytes[index] = high >>> (24 - 8 * index);
    bytes[4 + index] = count >>> (24 - 8 * index);
  }
  return bytes;
}

/** The count of {@link positionOfCount}; undefined when `position` is not 8 bytes or passes 2^53 - 1. */
export function countOfPosition(position: Uint8Array): number | undefined {
  if (position.length !== 8) return undefined;
  let count = 0;
  for (const byte of position) count = count * 256 + byte;
  return Number.isSafeInteger(count) ? count : undefined;
}

/** Milliseconds since the Unix epoch, rounded down. */
export function timestampToMs(time: Timestamp): number {
  return time.seconds * 1000 + Math.floor(time.nanos / 1_000_000);
}

/** The timestamp of a whole or fractional number of milliseconds since the Unix epoch. */
export function timestampOfMs(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanos: Math.min(999_999_999, Math.round((ms - seconds * 1000) * 1_000_000)) };
}

function escapePart(part: string): string {
  return /[%/]/.test(part) ? part.replaceAll('%', '%25').replaceAll('/', '%2F') : part;
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
