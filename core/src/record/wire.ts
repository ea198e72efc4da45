// Protobuf's wire primitives over a growing buffer and over a span, for the record path only. Control messages
// use the generated code in proto/. Layout: https://protobuf.dev/programming-guides/encoding/
//   tag = field << 3 | type; type 0 varint, 1 fixed 64, 2 length-delimited, 5 fixed 32

import { EtlError } from '../errors.ts';

/** Wire types that our messages may hold, unknown fields included. */
export const wireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Raised for bytes that are not the protobuf they should be. Names the message and what is wrong. */
export function malformed(what: string): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', `malformed protobuf: ${what}`);
}

/** Bytes that an unsigned integer takes as a varint. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  if (value < 0x1000_0000) return 4;
  let size = 5;
  for (let rest = Math.floor(value / 0x8_0000_0000); rest > 0; rest = Math.floor(rest / 128))
    size++;
  return size;
}

/** A buffer that grows by doubling. What it hands out with {@link take} is never written again. */
export class WireWriter {
  buffer: Buffer;
  length = 0;

  constructor(capacity = 4096) {
    this.buffer = Buffer.allocUnsafeSlow(capacity);
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2));
    this.buffer.copy(grown, 0, 0, this.length);
    this.buffer = grown;
  }

  /** Writes an unsigned integer up to 2^53 - 1. The caller reserved room. */
  varint(value: number): void {
    const buffer = this.buffer;
    let at = this.length;
    let rest = value;
    while (rest > 0x7fff_ffff) {
      buffer[at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 127) {
      buffer[at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    buffer[at++] = rest;
    this.length = at;
  }

  /** Writes a signed 64-bit integer within the safe range as int64: two's complement, 10 bytes when negative. */
  int64(value: number): void {
    if (value >= 0) {
      this.varint(value);
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    for (let index = 0; index < 9; index++) {
      this.buffer[this.length++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.buffer[this.length++] = Number(rest);
  }

  /**
   * Begins a field whose length is not known yet: writes the tag, leaves `slot` bytes for the length and returns
   * where they are, for {@link close}. A good guess of the length's own size saves moving the contents.
   */
  open(tag: number, slot: number): number {
    this.reserve(slot + 1);
    this.buffer[this.length++] = tag;
    const lengthAt = this.length;
    this.length += slot;
    return lengthAt;
  }

  /** Ends the field begun by {@link open}: everything written since is its contents. */
  close(lengthAt: number, slot: number): void {
    const from = lengthAt + slot;
    const size = this.length - from;
    const missing = varintSize(size) - slot;
    if (missing !== 0) {
      this.reserve(missing);
      this.buffer.copyWithin(from + missing, from, this.length);
    }
    const end = this.length + missing;
    this.length = lengthAt;
    this.varint(size);
    this.length = end;
  }

  /** Writes tag, length and bytes. */
  bytes(tag: number, value: Uint8Array): void {
    const size = value.length;
    this.reserve(size + 8);
    this.buffer[this.length++] = tag;
    this.varint(size);
    const { buffer, length } = this;
    if (size < 24)
      for (let index = 0; index < size; index++) buffer[length + index] = value[index] as number;
    else buffer.set(value, length);
    this.length = length + size;
  }

  /** Writes tag, length and UTF-8. */
  string(tag: number, value: string): void {
    const length = value.length;
    if (length < 64) {
      this.reserve(length + 2);
      const buffer = this.buffer;
      const start = this.length + 2;
      let seen = 0;
      for (let index = 0; index < length; index++) {
        const code = value.charCodeAt(index);
        seen |= code;
        buffer[start + index] = code;
      }
      if (seen < 128) {
        buffer[start - 2] = tag;
        buffer[start - 1] = length;
        this.length = start + length;
        return;
      }
    }
    const size = Buffer.byteLength(value);
    this.reserve(size + 8);
    this.buffer[this.length++] = tag;
    this.varint(size);
    this.length += this.buffer.write(value, this.length, size, 'utf8');
  }

  /** The bytes written so far, in memory of their own; the writer starts over. */
  take(): Buffer {
    const taken = Buffer.allocUnsafeSlow(this.length);
    this.buffer.copy(taken, 0, 0, this.length);
    this.length = 0;
    return taken;
  }
}

/** Reads wire primitives from a span of bytes; {@link at} moves, and never past {@link end}. */
export class WireReader {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;

  constructor(bytes: Buffer, start = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  /** A tag: field number and wire type. Field 0 and numbers beyond 2^29 - 1 are refused. */
  tag(): number {
    const tag = this.varint();
    if (tag < 8 || tag > 0xffff_ffff) throw malformed(`tag ${tag}`);
    return tag;
  }

  /** An unsigned varint; values past 2^53 - 1 are refused, never rounded. */
  varint(): number {
    if (this.at < this.end) {
      const byte = this.bytes[this.at] as number;
      if (byte < 128) {
        this.at++;
        return byte;
      }
    }
    return this.#longVarint();
  }

  #longVarint(): number {
    const bytes = this.bytes;
    let value = 0;
    let scale = 1;
    for (let index = 0; index < 10; index++) {
      if (this.at >= this.end) throw malformed('truncated varint');
      const byte = bytes[this.at++] as number;
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (!Number.isSafeInteger(value)) throw malformed('integer above 2^53 - 1');
        return value;
      }
      scale *= 128;
    }
    throw malformed('varint longer than 10 bytes');
  }

  /** An int64 within the safe range; others are refused, never rounded. */
  int64(): number {
    const { bytes, at } = this;
    let low = 0;
    let shift = 0;
    const last = Math.min(this.end, at + 4);
    for (let next = at; next < last; next++) {
      const byte = bytes[next] as number;
      low |= (byte & 127) << shift;
      if (byte < 128) {
        this.at = next + 1;
        return low;
      }
      shift += 7;
    }
    const byte = at + 4 < this.end ? (bytes[at + 4] as number) : 128;
    if (byte < 128) {
      this.at = at + 5;
      return low + byte * 0x1000_0000;
    }
    return this.#longInt64();
  }

  #longInt64(): number {
    let value = 0n;
    for (let index = 0; index < 10; index++) {
      if (this.at >= this.end) throw malformed('truncated varint');
      const byte = this.bytes[this.at++] as number;
      value |= BigInt(byte & 127) << BigInt(7 * index);
      if (byte < 128) {
        const result = Number(BigInt.asIntN(64, value));
        if (!Number.isSafeInteger(result)) throw malformed('integer beyond 2^53 - 1');
        return result;
      }
    }
    throw malformed('varint longer than 10 bytes');
  }

  /** A length prefix, checked against the span; returns where the value ends. */
  lengthEnd(): number {
    const length = this.varint();
    const end = this.at + length;
    if (end > this.end) throw malformed('length runs past the end');
    return end;
  }

  /** Skips a field that is not of the message. Its own fields, 1 to `known`, come with their wire type or not at all. */
  skipUnknown(tag: number, known: number): void {
    if (tag >>> 3 <= known) throw malformed(`field ${tag >>> 3} has wire type ${tag & 7}`);
    this.skip(tag & 7);
  }

  /** Skips one field of the given wire type. */
  skip(type: number): void {
    if (type === wireType.varint) {
      for (let index = 0; index < 10; index++) {
        if (this.at >= this.end) throw malformed('truncated varint');
        if ((this.bytes[this.at++] as number) < 128) return;
      }
      throw malformed('varint longer than 10 bytes');
    } else if (type === wireType.bytes) {
      this.at = this.lengthEnd();
    } else if (type === wireType.fixed64 || type === wireType.fixed32) {
      this.at += type === wireType.fixed64 ? 8 : 4;
      if (this.at > this.end) throw malformed('truncated fixed-width field');
    } else {
      throw malformed(`wire type ${type}`);
    }
  }
}
