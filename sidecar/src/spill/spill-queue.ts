// What an edge could not deliver yet, on disk, in order: one queue for each lane and edge. A frame is one batch. It is
// durable before its records count as resolved, and leaves only when all of it was resolved further down: first the
// pointer is durable, then the segment goes. Survives a crash at any moment; what was resolved after the last pointer
// comes again.

import { RecordBatch } from '@etl-router/core';
import { lastPosition } from '../engine/batches.ts';
import type { Failpoints } from '../engine/failpoints.ts';
import type { Directory } from '../storage/directory.ts';
import { type FrameAddress, FrameLog } from '../storage/frame-log.ts';

/** Whose records a queue holds. */
export interface SpillKey {
  /** `namespace/name`. */
  readonly pipelineId: string;
  /** `from>to`. */
  readonly edge: string;
  readonly source: string;
  readonly partition: string;
}

/** A batch in the queue. */
export interface SpillFrame {
  readonly address: FrameAddress;
  readonly records: number;
}

interface Pointer extends SpillKey {
  readonly segment: number;
  readonly offset: number;
}

interface Outstanding {
  readonly frame: SpillFrame;
  released: boolean;
}

const pointerName = 'pointer.json';
const frameHeadBytes = 8;

export class SpillQueue {
  readonly key: SpillKey;
  readonly #directory: Directory;
  readonly #failpoints: Failpoints;
  readonly #segmentBytes: number;
  readonly #onRoom: (() => void)[] = [];
  #log: FrameLog | undefined;
  /** Where the next frame to read lies. */
  #cursor = { segment: 0, offset: 0 };
  /** Everything before it is resolved. */
  #head = { segment: 0, offset: 0 };
  #unreadFrames = 0;
  #unreadRecords = 0;
  #outstanding: Outstanding[] = [];
  #lastPosition: Uint8Array | undefined;
  #isPointing = false;
  #pointing: Promise<void> | undefined;
  #appending: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  private constructor(
    key: SpillKey,
    directory: Directory,
    options: { readonly failpoints: Failpoints; readonly segmentBytes: number },
  ) {
    this.key = key;
    this.#directory = directory;
    this.#failpoints = options.failpoints;
    this.#segmentBytes = options.segmentBytes;
  }

  /** A queue that holds nothing; no file is made before the first append. */
  static create(
    key: SpillKey,
    directory: Directory,
    options: { readonly failpoints: Failpoints; readonly segmentBytes: number },
  ): SpillQueue {
    return new SpillQueue(key, directory, options);
  }

  /** Opens what an earlier process left; undefined when its first append was never finished. */
  static async recover(
    directory: Directory,
    options: { readonly failpoints: Failpoints; readonly segmentBytes: number },
  ): Promise<SpillQueue | undefined> {
    if (!(await directory.list()).includes(pointerName)) {
      await directory.clear();
      return undefined;
    }
    const file = await directory.open(pointerName);
    const { segment, offset, ...key } = JSON.parse(
      (await file.read(0, file.size)).toString(),
    ) as Pointer;
    await file.close();
    const queue = new SpillQueue(key, directory, options);
    queue.#head = { segment, offset };
    queue.#cursor = { segment, offset };
    let last: Buffer | undefined;
    queue.#log = await FrameLog.open(queue.#logOptions(), (payload, address) => {
      last = payload;
      if (isBefore(address, queue.#head)) return;
      queue.#unreadFrames++;
      queue.#unreadRecords += payload.readUInt32LE(0);
    });
    if (last !== undefined) {
      queue.#lastPosition = lastPosition(RecordBatch.decode(last.subarray(frameHeadBytes)));
    }
    return queue;
  }

  /** Frames that nobody has read yet. */
  get unread(): number {
    return this.#unreadFrames;
  }

  /** Records that are not resolved. */
  get records(): number {
    let records = this.#unreadRecords;
    for (const { frame, released } of this.#outstanding) if (!released) records += frame.records;
    return records;
  }

  get isEmpty(): boolean {
    return this.#unreadFrames === 0 && this.#outstanding.length === 0;
  }

  /** Bytes from the first unresolved frame on; on disk there may be one segment more. */
  get bytes(): number {
    if (this.#log === undefined) return 0;
    return this.isEmpty ? 0 : this.#log.bytes - this.#head.offset;
  }

  /** Position of the last record that was ever appended: the queue holds or held all that its edge had up to it. */
  get lastPosition(): Uint8Array | undefined {
    return this.#lastPosition;
  }

  /** Called when a segment went. */
  onRoom(wake: () => void): void {
    this.#onRoom.push(wake);
  }

  /**
   * Appends batches in order; durable when it resolves. The first `inProcess` of them are being worked on already:
   * they are not read, only released.
   */
  append(batches: readonly RecordBatch[], inProcess: number): Promise<readonly SpillFrame[]> {
    const appending = this.#append(batches, inProcess);
    this.#appending = appending.catch(() => {});
    return appending;
  }

  /** Resolves when no append is under way. */
  async settled(): Promise<void> {
    await this.#appending;
  }

  async #append(
    batches: readonly RecordBatch[],
    inProcess: number,
  ): Promise<readonly SpillFrame[]> {
    if (this.#log === undefined) await this.#begin();
    const log = this.#log as FrameLog;
    const addresses = await log.append(batches.map(encodeFrame));
    this.#failpoints.hit('spill.append.after');
    const frames = addresses.map((address, index) => ({
      address,
      records: (batches[index] as RecordBatch).count,
    }));
    for (const [index, frame] of frames.entries()) {
      if (index < inProcess) {
        this.#outstanding.push({ frame, released: false });
        this.#cursor = after(frame);
      } else {
        this.#unreadFrames++;
        this.#unreadRecords += frame.records;
      }
    }
    const last = batches.at(-1);
    if (last !== undefined) this.#lastPosition = lastPosition(last);
    return frames;
  }

  /** The next frame; undefined when there is none. It stays until {@link release}. */
  async read(): Promise<{ readonly frame: SpillFrame; readonly batch: RecordBatch } | undefined> {
    if (this.#unreadFrames === 0) return undefined;
    const found = await (this.#log as FrameLog).readNext(this.#cursor.segment, this.#cursor.offset);
    if (found === undefined) return undefined;
    const frame = { address: found.address, records: found.payload.readUInt32LE(0) };
    this.#unreadFrames--;
    this.#unreadRecords -= frame.records;
    this.#cursor = after(frame);
    this.#outstanding.push({ frame, released: false });
    return { frame, batch: RecordBatch.decode(found.payload.subarray(frameHeadBytes)) };
  }

  /** All of a frame is resolved. The pointer follows on its own. */
  release(frame: SpillFrame): void {
    for (const outstanding of this.#outstanding) {
      if (outstanding.frame === frame) outstanding.released = true;
    }
    let moved = false;
    while (this.#outstanding[0]?.released === true) {
      this.#head = after((this.#outstanding.shift() as Outstanding).frame);
      moved = true;
    }
    if (moved && !this.#isClosed) this.#point();
  }

  /** What was read and not released is to be read again: the lane that had it is gone. */
  rewind(): void {
    this.#unreadFrames += this.#outstanding.length;
    for (const { frame } of this.#outstanding) this.#unreadRecords += frame.records;
    this.#outstanding = [];
    this.#cursor = this.#head;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#pointing;
    await this.#log?.close();
  }

  /** Removes the queue and all it holds. */
  async destroy(): Promise<void> {
    await this.close();
    await this.#directory.clear();
  }

  async #begin(): Promise<void> {
    this.#log = await FrameLog.open(this.#logOptions(), () => {});
    await this.#writePointer();
  }

  #logOptions(): { directory: Directory; segmentBytes: number; what: string } {
    const { pipelineId, edge, source, partition } = this.key;
    return {
      directory: this.#directory,
      segmentBytes: this.#segmentBytes,
      what: `spill of ${pipelineId} ${edge}, lane ${source}/${partition}`,
    };
  }

  #point(): void {
    if (!this.#isPointing) this.#pointing = this.#movePointer();
  }

  /** Moves the pointer after the head. Where that fails, space comes back later: the next release tries again. */
  async #movePointer(): Promise<void> {
    this.#isPointing = true;
    let written: { segment: number; offset: number } | undefined;
    while (written !== this.#head && !this.#isClosed) {
      written = this.#head;
      try {
        await this.#writePointer();
        this.#failpoints.hit('spill.release.after');
        const log = this.#log as FrameLog;
        for (const segment of log.segments) {
          if (segment < written.segment && segment !== log.segments.at(-1)) await log.drop(segment);
        }
      } catch {
        break;
      }
      for (const wake of this.#onRoom) wake();
    }
    this.#isPointing = false;
  }

  #writePointer(): Promise<void> {
    const pointer: Pointer = { ...this.key, ...this.#head };
    return this.#directory.replace(pointerName, Buffer.from(JSON.stringify(pointer)));
  }
}

function after({ address }: SpillFrame): { segment: number; offset: number } {
  return { segment: address.segment, offset: address.offset + 8 + address.length };
}

function isBefore(address: FrameAddress, head: { segment: number; offset: number }): boolean {
  return (
    address.segment < head.segment ||
    (address.segment === head.segment && address.offset < head.offset)
  );
}

/** Layout: records (4, little endian), reserved (4), RecordBatch message. */
function encodeFrame(batch: RecordBatch): Buffer {
  const head = Buffer.alloc(frameHeadBytes);
  head.writeUInt32LE(batch.count, 0);
  return Buffer.concat([head, batch.toBytes()]);
}
