// Writes batches to one segment. The file has its full size from the beginning, as a hole; space is zeroed ahead,
// together with the batch that needs it, so that most syncs write nothing but the batch.

import { assert } from '@etl-router/core';
import { roundUp } from './bytes.ts';
import { type Disk, type DiskFile, onDisk } from './disk.ts';
import type { Frame } from './frames.ts';
import {
  encodeBatch,
  encodeSegmentHeader,
  type SegmentHeader,
  segmentHeaderBytes,
  segmentName,
} from './segment.ts';

const zeroChunk: Uint8Array = new Uint8Array(64 * 1024);

/** Zeros in pieces that share their memory. */
export function zeros(length: number): readonly Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let left = length; left > 0; left -= zeroChunk.length) {
    chunks.push(left >= zeroChunk.length ? zeroChunk : zeroChunk.subarray(0, left));
  }
  return chunks;
}

/** Where the next batch goes. */
export interface WritePlace {
  readonly end: number;
  readonly allocated: number;
  readonly batch: number;
  readonly chain: number;
}

/** The segment that is written. */
export class SegmentWriter {
  readonly path: string;
  readonly header: SegmentHeader;
  readonly #file: DiskFile;
  readonly #key: number;
  #place: WritePlace;

  constructor(
    parts: { readonly path: string; readonly header: SegmentHeader; readonly file: DiskFile },
    key: number,
    place: WritePlace,
  ) {
    this.path = parts.path;
    this.header = parts.header;
    this.#file = parts.file;
    this.#key = key;
    this.#place = place;
  }

  /** Creates a segment that begins with `base`, durably. */
  static async create(
    disk: Disk,
    directory: string,
    header: SegmentHeader,
    options: { readonly key: number; readonly base: Frame },
  ): Promise<SegmentWriter> {
    const { key, base } = options;
    const path = `${directory}/${segmentName(header.number)}`;
    const place = {
      offset: segmentHeaderBytes,
      batch: header.firstBatch,
      chain: header.chain,
      key,
    };
    const { bytes, chain } = encodeBatch([base], place);
    const end = segmentHeaderBytes + bytes.length;
    const allocated = roundUp(end, header.allocateBytes);
    return await onDisk('create', path, async () => {
      const file = await disk.open(`${path}.tmp`, 'create');
      try {
        await file.write(0, [encodeSegmentHeader(header), bytes, ...zeros(allocated - end)]);
        if (allocated < header.sizeBytes) await file.write(header.sizeBytes - 1, zeros(1));
        await file.sync();
        await disk.rename(`${path}.tmp`, path);
        await disk.syncDirectory(directory);
      } catch (error) {
        await file.close();
        throw error;
      }
      return new SegmentWriter({ path, header, file }, key, {
        end,
        allocated,
        batch: header.firstBatch + 1,
        chain,
      });
    });
  }

  /** Bytes of the file that take space. */
  get allocatedBytes(): number {
    return this.#place.allocated;
  }

  /** Whether so many more bytes belong here. A segment that holds nothing yet takes a batch of any size. */
  hasRoom(bytes: number, segmentBytes: number): boolean {
    const { end, batch } = this.#place;
    return end + bytes <= segmentBytes || batch === this.header.firstBatch + 1;
  }

  /** What the next segment continues when this one is sealed by `seal`. */
  continuation(seal: Frame): { readonly firstBatch: number; readonly chain: number } {
    const { end: offset, batch, chain } = this.#place;
    const sealed = encodeBatch([seal], { offset, batch, chain, key: this.#key });
    return { firstBatch: batch + 1, chain: sealed.chain };
  }

  /** Writes a batch and makes it durable. Returns its size. */
  async append(frames: readonly Frame[]): Promise<number> {
    assert(frames.length > 0, 'a batch holds something');
    const { end: offset, batch, chain, allocated } = this.#place;
    const encoded = encodeBatch(frames, { offset, batch, chain, key: this.#key });
    const end = offset + encoded.bytes.length;
    const grown = Math.max(allocated, roundUp(end, this.header.allocateBytes));
    const ahead = grown > allocated ? zeros(grown - end) : [];
    await onDisk('write', this.path, () => this.#file.write(offset, [encoded.bytes, ...ahead]));
    await onDisk('sync', this.path, () => this.#file.sync());
    this.#place = { end, allocated: grown, batch: batch + 1, chain: encoded.chain };
    return encoded.bytes.length;
  }

  async close(): Promise<void> {
    await onDisk('close', this.path, () => this.#file.close());
  }
}
