// Reads a file, plain or gzip, as one stream of bytes in blocks. Offsets count bytes of the decompressed stream.

import { createReadStream } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { EtlError } from '@etl-router/core';

/** Bytes of one block: large enough that reads are rare, small enough to stay in the cache. */
export const blockBytes: number = 256 * 1024;
const newline = 10;

/** A stream of bytes with a place in it. */
export interface BlockReader {
  /** The next bytes, in memory of the caller's from here on; undefined: there are none now. */
  read(): Promise<Buffer | undefined>;
  /** Bytes of the file that were not read yet, compressed where it is. */
  left(): Promise<number>;
  close(): Promise<void>;
}

/**
 * Reads a plain file from an offset. At its end, asking again finds what was appended meanwhile, and `follow` also sees
 * to it that the file is still the one of that name.
 */
export async function openPlain(
  path: string,
  { offset, follow }: { readonly offset: number; readonly follow: boolean },
): Promise<BlockReader> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    if (size < offset) {
      throw replaced(path, `is ${size} bytes long and was read to ${offset} before`);
    }
    if (offset > 0 && offset < size) await assertLineEnd(path, handle, offset);
    return new PlainReader({ path, handle, follow }, offset);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Reading goes on behind a line break; where there is none, the file is another than the one that was read. */
async function assertLineEnd(path: string, handle: FileHandle, offset: number): Promise<void> {
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, offset - 1);
  if (byte[0] === newline) return;
  throw replaced(path, `has no line break at ${offset}, to where it was read before`);
}

function replaced(path: string, what: string): EtlError {
  return new EtlError(
    'ETL_CONNECTOR_FAILED',
    `${path}: ${what}; it was replaced or cut: give the new file another name, or the pipeline`,
    { retryable: false },
  );
}

interface OpenFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly follow: boolean;
}

class PlainReader implements BlockReader {
  readonly #file: OpenFile;
  #offset: number;

  constructor(file: OpenFile, offset: number) {
    this.#file = file;
    this.#offset = offset;
  }

  async read(): Promise<Buffer | undefined> {
    const block = Buffer.allocUnsafeSlow(blockBytes);
    const { bytesRead } = await this.#file.handle.read(block, 0, blockBytes, this.#offset);
    if (bytesRead === 0) {
      await this.#assertSame();
      return undefined;
    }
    this.#offset += bytesRead;
    return block.subarray(0, bytesRead);
  }

  async left(): Promise<number> {
    const { size } = await this.#file.handle.stat();
    return Math.max(0, size - this.#offset);
  }

  close(): Promise<void> {
    return this.#file.handle.close();
  }

  /** Throws when the file got shorter, or when another one has its name now and more lines would come there. */
  async #assertSame(): Promise<void> {
    const { path, handle, follow } = this.#file;
    const { size, ino } = await handle.stat();
    if (size < this.#offset) {
      throw replaced(path, `was cut from ${this.#offset} to ${size} bytes while it was read`);
    }
    if (!follow) return;
    const named = await stat(path).catch(() => undefined);
    if (named !== undefined && named.ino !== ino) throw replaced(path, 'is another file now');
  }
}

/** Reads a gzip file; what lies before `offset` is decompressed and left out. */
export async function openGzip(path: string, offset: number): Promise<BlockReader> {
  const handle = await open(path, 'r');
  const { size } = await handle.stat();
  await handle.close();
  return new GzipReader(path, offset, size);
}

class GzipReader implements BlockReader {
  readonly #path: string;
  readonly #file: ReturnType<typeof createReadStream>;
  readonly #blocks: AsyncIterator<Buffer>;
  readonly #size: number;
  #skip: number;

  constructor(path: string, offset: number, size: number) {
    this.#path = path;
    this.#skip = offset;
    this.#size = size;
    this.#file = createReadStream(path, { highWaterMark: blockBytes });
    const gunzip = createGunzip({ chunkSize: blockBytes });
    this.#file.on('error', (error) => gunzip.destroy(error));
    this.#blocks = this.#file.pipe(gunzip)[Symbol.asyncIterator]();
  }

  async read(): Promise<Buffer | undefined> {
    for (;;) {
      const step = await this.#next();
      if (step.done === true) {
        if (this.#skip === 0) return undefined;
        throw replaced(
          this.#path,
          `ends ${this.#skip} bytes before the place to which it was read`,
        );
      }
      const block = step.value;
      if (this.#skip === 0) return block;
      const skipped = Math.min(this.#skip, block.length);
      this.#skip -= skipped;
      if (skipped < block.length) return block.subarray(skipped);
    }
  }

  async left(): Promise<number> {
    return Math.max(0, this.#size - this.#file.bytesRead);
  }

  async close(): Promise<void> {
    this.#file.destroy();
    await this.#blocks.return?.();
  }

  async #next(): Promise<IteratorResult<Buffer>> {
    try {
      return await this.#blocks.next();
    } catch (cause) {
      throw new EtlError(
        'ETL_CONNECTOR_FAILED',
        `${this.#path}: is no whole gzip file (${(cause as Error).message})`,
        {
          cause,
          retryable: false,
        },
      );
    }
  }
}
