// An append-only log of byte strings in numbered segment files. What dead letters and spills are made of. Layout of a
// frame, little endian:
//   length (4) · CRC-32 of length and payload (4) · payload
// A frame that does not check ends the log if it stands at the end of the last segment (a write that a crash cut off,
// acknowledged to nobody); anywhere else the log is corrupt and is refused. After a failed write or sync nothing more
// is taken: what is on the disk is not known any more.

import { crc32 } from 'node:zlib';
import { assert, EtlError, toEtlError } from '@etl-router/core';
import type { Directory, StoredFile } from './directory.ts';

const headBytes = 8;
/** Largest payload of one frame. */
export const frameMaxBytes: number = 64 * 1024 * 1024;

/** Where a frame lies. */
export interface FrameAddress {
  readonly segment: number;
  readonly offset: number;
  /** Of the payload. */
  readonly length: number;
}

interface Segment {
  readonly file: StoredFile;
  bytes: number;
}

interface Pending {
  readonly payloads: readonly Uint8Array[];
  readonly resolve: (addresses: readonly FrameAddress[]) => void;
  readonly reject: (error: unknown) => void;
}

export interface FrameLogOptions {
  readonly directory: Directory;
  /** A new segment begins when the last has grown to this. */
  readonly segmentBytes: number;
  /** For messages: what the log holds. */
  readonly what: string;
}

export class FrameLog {
  readonly #options: FrameLogOptions;
  readonly #segments = new Map<number, Segment>();
  #last = 0;
  #pending: Pending[] = [];
  #isWriting = false;
  #writing: Promise<void> | undefined;
  #broken: EtlError | undefined;

  private constructor(options: FrameLogOptions) {
    this.#options = options;
  }

  /** Opens a log and shows every frame in it, in order. */
  static async open(
    options: FrameLogOptions,
    onFrame: (payload: Buffer, address: FrameAddress) => void,
  ): Promise<FrameLog> {
    const log = new FrameLog(options);
    const names = (await options.directory.list()).filter((name) => segmentName.test(name));
    const numbers = names.map((name) => Number.parseInt(name, 10)).toSorted((a, b) => a - b);
    for (const number of numbers) {
      const file = await options.directory.open(nameOf(number));
      log.#segments.set(number, { file, bytes: file.size });
      log.#last = number;
      await log.#scan(number, number === numbers.at(-1), onFrame);
    }
    return log;
  }

  /** Bytes on disk. */
  get bytes(): number {
    let bytes = 0;
    for (const segment of this.#segments.values()) bytes += segment.bytes;
    return bytes;
  }

  /** Numbers of the segments, ascending. */
  get segments(): readonly number[] {
    return [...this.#segments.keys()];
  }

  /** Resolves with the places of the payloads when they would survive a crash. Calls share writes and syncs. */
  append(payloads: readonly Uint8Array[]): Promise<readonly FrameAddress[]> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ payloads, resolve, reject });
      if (!this.#isWriting) this.#writing = this.#writeAll();
    });
  }

  /** The payload at an address. Throws ETL_STORAGE_CORRUPT when it is not what was written. */
  async read(address: FrameAddress): Promise<Buffer> {
    const segment = this.#segments.get(address.segment);
    assert(segment !== undefined, 'the segment of a frame that is read exists');
    const bytes = await segment.file.read(address.offset, headBytes + address.length);
    const payload = payloadAt(bytes, 0);
    if (payload === undefined) throw this.#corrupt(address.segment, address.offset);
    return payload;
  }

  /** The frame at or after an offset, looking into later segments; undefined at the end. */
  async readNext(
    segment: number,
    offset: number,
  ): Promise<{ readonly payload: Buffer; readonly address: FrameAddress } | undefined> {
    let [number, at] = [segment, offset];
    for (const candidate of this.segments) {
      if (candidate < number) continue;
      if (candidate > number) [number, at] = [candidate, 0];
      const { file, bytes } = this.#segments.get(candidate) as Segment;
      if (at >= bytes) continue;
      const head = await file.read(at, headBytes);
      const length = head.length === headBytes ? head.readUInt32LE(0) : 0;
      const address = { segment: candidate, offset: at, length };
      return { payload: await this.read(address), address };
    }
    return undefined;
  }

  /** Removes a segment; never the last one, which takes the appends. */
  async drop(segment: number): Promise<void> {
    assert(segment !== this.#last, 'the segment that takes the appends stays');
    const dropped = this.#segments.get(segment);
    if (dropped === undefined) return;
    this.#segments.delete(segment);
    await dropped.file.close();
    await this.#options.directory.remove(nameOf(segment));
  }

  async close(): Promise<void> {
    await this.#writing;
    for (const { file } of this.#segments.values()) await file.close();
    this.#segments.clear();
  }

  /** Writes until nothing is pending; whoever comes when it has looked for the last time starts it again. */
  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    while (this.#pending.length > 0) {
      const group = this.#pending;
      this.#pending = [];
      try {
        if (this.#broken !== undefined) throw this.#broken;
        const addresses = await this.#write(group.flatMap(({ payloads }) => payloads));
        let at = 0;
        for (const { payloads, resolve } of group) {
          resolve(addresses.slice(at, at + payloads.length));
          at += payloads.length;
        }
      } catch (error) {
        this.#broken ??= toEtlError(error, 'ETL_STORAGE_FAILED');
        for (const { reject } of group) reject(this.#broken);
      }
    }
    this.#isWriting = false;
  }

  async #write(payloads: readonly Uint8Array[]): Promise<FrameAddress[]> {
    const segment = await this.#writable();
    const addresses: FrameAddress[] = [];
    const chunks: Uint8Array[] = [];
    let offset = segment.bytes;
    for (const payload of payloads) {
      assert(payload.length > 0 && payload.length <= frameMaxBytes, 'a frame within its bounds');
      chunks.push(headOf(payload), payload);
      addresses.push({ segment: this.#last, offset, length: payload.length });
      offset += headBytes + payload.length;
    }
    await segment.file.append(chunks);
    await segment.file.sync();
    segment.bytes = offset;
    return addresses;
  }

  async #writable(): Promise<Segment> {
    const last = this.#segments.get(this.#last);
    if (last !== undefined && last.bytes < this.#options.segmentBytes) return last;
    const number = this.#last + 1;
    const segment = { file: await this.#options.directory.open(nameOf(number)), bytes: 0 };
    await this.#options.directory.sync();
    this.#segments.set(number, segment);
    this.#last = number;
    return segment;
  }

  async #scan(
    number: number,
    isLast: boolean,
    onFrame: (payload: Buffer, address: FrameAddress) => void,
  ): Promise<void> {
    const segment = this.#segments.get(number) as Segment;
    const bytes = await segment.file.read(0, segment.bytes);
    let offset = 0;
    while (offset < bytes.length) {
      const payload = payloadAt(bytes, offset);
      if (payload === undefined) break;
      onFrame(payload, { segment: number, offset, length: payload.length });
      offset += headBytes + payload.length;
    }
    if (offset === bytes.length) return;
    if (!isLast || isFollowed(bytes, offset)) throw this.#corrupt(number, offset);
    await segment.file.truncate(offset);
    segment.bytes = offset;
  }

  #corrupt(segment: number, offset: number): EtlError {
    const { what } = this.#options;
    return new EtlError(
      'ETL_STORAGE_CORRUPT',
      `${what}: segment ${nameOf(segment)} has a damaged frame at byte ${offset}; restore it from a backup or remove it`,
      { details: { segment, offset } },
    );
  }
}

const segmentName = /^\d{10}\.log$/;

function nameOf(segment: number): string {
  return `${String(segment).padStart(10, '0')}.log`;
}

function headOf(payload: Uint8Array): Buffer {
  const head = Buffer.allocUnsafe(headBytes);
  head.writeUInt32LE(payload.length, 0);
  head.writeUInt32LE(crc32(payload, crc32(head.subarray(0, 4))), 4);
  return head;
}

function payloadAt(bytes: Buffer, offset: number): Buffer | undefined {
  if (offset + headBytes > bytes.length) return undefined;
  const length = bytes.readUInt32LE(offset);
  const start = offset + headBytes;
  if (length === 0 || length > frameMaxBytes || start + length > bytes.length) return undefined;
  const payload = bytes.subarray(start, start + length);
  const sum = crc32(payload, crc32(bytes.subarray(offset, offset + 4)));
  return sum === bytes.readUInt32LE(offset + 4) ? payload : undefined;
}

/** Whether a sound frame follows a damaged one: then it was not the crash that cut it off. */
function isFollowed(bytes: Buffer, offset: number): boolean {
  if (offset + headBytes > bytes.length) return false;
  const length = bytes.readUInt32LE(offset);
  if (length === 0 || length > frameMaxBytes) return false;
  return payloadAt(bytes, offset + headBytes + length) !== undefined;
}
