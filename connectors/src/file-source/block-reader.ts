// Reads a file, plain or gzip, as one stream of bytes. Offsets count bytes of the decompressed stream. The file is held
// open: a file that takes its name meanwhile is never mixed in.

import { constants, createReadStream, type ReadStream, type Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { createGunzip, type Gunzip } from 'node:zlib';
import { fileError, systemError } from './errors.ts';
import { extendMark, headBytes } from './position.ts';

/** A stream of bytes with a place in it. */
export interface BlockReader {
  /** The first {@link headBytes} bytes of the stream that lie before the offset it was opened at. */
  readonly head: Buffer;
  /** The byte before the offset it was opened at; undefined at the beginning. */
  readonly before: number | undefined;
  /** Writes the next bytes into `into` from `at` on and says how many; 0: there are none now. */
  read(into: Buffer, at: number): Promise<number>;
  /** Bytes of the file that were not read when it was last looked at, compressed where it is. */
  left(): number;
  /** Throws when what was read is not what the file holds now, as far as that can be seen. Called at the end. */
  assertUnchanged(): Promise<void>;
  /**
   * Whether another file has the name now, or this one was cut and written anew. `mark` is that of its first `markedBytes`
   * when they were read.
   */
  fate(markedBytes: number, mark: number): Promise<'same' | 'replaced' | 'cut'>;
  close(): Promise<void>;
}

export interface OpenBlocks {
  readonly path: string;
  readonly offset: number;
  readonly isGzip: boolean;
  readonly signal: AbortSignal;
}

/** Opens a file at an offset; undefined when it is shorter than that. */
export async function openBlocks(request: OpenBlocks): Promise<BlockReader | undefined> {
  const { path, offset, isGzip, signal } = request;
  const handle = await openFile(path);
  try {
    const info = await handle.stat();
    if (!info.isFile()) throw fileError(path, 'is not a regular file');
    const opened = { path, handle, size: info.size, changedMs: info.mtimeMs };
    const reader = isGzip
      ? await GzipReader.open(opened, offset, signal)
      : await PlainReader.open(opened, offset);
    if (reader === undefined) await handle.close();
    return reader;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Opening a named pipe must not wait for a writer: it would hold a thread that all files of the process share. */
const readNow = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** Opens a file to read. Throws ETL_CONNECTOR_FAILED that says why it can not be. */
export async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, readNow);
  } catch (cause) {
    throw systemError(path, cause);
  }
}

interface OpenedFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly size: number;
  readonly changedMs: number;
}

class PlainReader implements BlockReader {
  readonly head: Buffer;
  readonly before: number | undefined;
  readonly #file: OpenedFile;
  #offset: number;
  #size: number;

  static async open(file: OpenedFile, offset: number): Promise<PlainReader | undefined> {
    if (file.size < offset) return undefined;
    const head = Buffer.alloc(Math.min(offset, headBytes));
    if (head.length > 0) await file.handle.read(head, 0, head.length, 0);
    const last = Buffer.alloc(1);
    if (offset > 0) await file.handle.read(last, 0, 1, offset - 1);
    return new PlainReader(file, offset, { head, before: offset > 0 ? last[0] : undefined });
  }

  private constructor(
    file: OpenedFile,
    offset: number,
    start: { readonly head: Buffer; readonly before: number | undefined },
  ) {
    this.#file = file;
    this.#offset = offset;
    this.#size = file.size;
    this.head = start.head;
    this.before = start.before;
  }

  async read(into: Buffer, at: number): Promise<number> {
    const { path, handle } = this.#file;
    try {
      const { bytesRead } = await handle.read(into, at, into.length - at, this.#offset);
      this.#offset += bytesRead;
      if (bytesRead === 0 || this.#offset > this.#size) this.#size = (await handle.stat()).size;
      return bytesRead;
    } catch (cause) {
      throw systemError(path, cause);
    }
  }

  left(): number {
    return Math.max(0, this.#size - this.#offset);
  }

  async assertUnchanged(): Promise<void> {
    const { path, handle, size: sizeAtOpen, changedMs } = this.#file;
    const { size, mtimeMs } = await handle.stat();
    if (size < this.#offset) {
      throw fileError(path, `was cut to ${size} bytes after ${this.#offset} of it had been read`);
    }
    if (size === sizeAtOpen && mtimeMs > changedMs) {
      throw fileError(
        path,
        'was written to, in place, while it was read. Write files under another name and rename them when they are whole',
      );
    }
  }

  async fate(markedBytes: number, mark: number): Promise<'same' | 'replaced' | 'cut'> {
    const { path, handle } = this.#file;
    const head = Buffer.alloc(markedBytes);
    const [held, named] = await Promise.all([
      handle.stat(),
      statOf(path),
      handle.read(head, 0, markedBytes, 0),
    ]);
    if (held.size < this.#offset || extendMark(0, head) !== mark) return 'cut';
    const isSame = named === undefined || (named.ino === held.ino && named.dev === held.dev);
    return isSame ? 'same' : 'replaced';
  }

  close(): Promise<void> {
    return this.#file.handle.close();
  }
}

/** What has a name now; undefined when nothing has. */
async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw systemError(path, cause);
  }
}

/** A gzip file has no places to begin at: what lies before the offset is decompressed again and left out. */
class GzipReader implements BlockReader {
  readonly head: Buffer;
  before: number | undefined;
  readonly #file: OpenedFile;
  readonly #stream: ReadStream;
  readonly #gunzip: Gunzip;
  readonly #blocks: AsyncIterator<Buffer>;
  #block: Buffer = Buffer.alloc(0);

  static async open(
    file: OpenedFile,
    offset: number,
    signal: AbortSignal,
  ): Promise<GzipReader | undefined> {
    const reader = new GzipReader(file, Math.min(offset, headBytes));
    let skipped = 0;
    while (skipped < offset) {
      signal.throwIfAborted();
      const block = await reader.#next();
      if (block === undefined) {
        await reader.#stop();
        return undefined;
      }
      const taken = Math.min(block.length, offset - skipped);
      if (skipped < reader.head.length) block.copy(reader.head, skipped, 0, taken);
      reader.before = block[taken - 1];
      reader.#block = block.subarray(taken);
      skipped += taken;
    }
    return reader;
  }

  private constructor(file: OpenedFile, head: number) {
    this.#file = file;
    this.head = Buffer.alloc(head);
    this.#stream = createReadStream(file.path, {
      fd: file.handle,
      start: 0,
      autoClose: false,
      highWaterMark: blockBytes,
    });
    this.#gunzip = createGunzip({ chunkSize: blockBytes });
    this.#stream.on('error', (error) => this.#gunzip.destroy(error));
    this.#blocks = this.#stream.pipe(this.#gunzip)[Symbol.asyncIterator]();
  }

  async read(into: Buffer, at: number): Promise<number> {
    if (this.#block.length === 0) this.#block = (await this.#next()) ?? this.#block;
    const taken = this.#block.copy(into, at);
    this.#block = this.#block.subarray(taken);
    return taken;
  }

  left(): number {
    return Math.max(0, this.#file.size - this.#stream.bytesRead);
  }

  async assertUnchanged(): Promise<void> {
    const { path, handle, size: sizeAtOpen, changedMs } = this.#file;
    const { size, mtimeMs } = await handle.stat();
    if (size !== sizeAtOpen || mtimeMs > changedMs) {
      throw fileError(path, 'was written to while it was read; a gzip file has to be whole');
    }
  }

  async fate(): Promise<'same'> {
    return 'same';
  }

  async close(): Promise<void> {
    await this.#stop();
    await this.#file.handle.close();
  }

  async #stop(): Promise<void> {
    this.#stream.destroy();
    this.#gunzip.destroy();
    await this.#blocks.return?.();
  }

  /** The next block that holds something; undefined at the end. */
  async #next(): Promise<Buffer | undefined> {
    try {
      for (;;) {
        const step = await this.#blocks.next();
        if (step.done === true) return undefined;
        if (step.value.length > 0) return step.value;
      }
    } catch (cause) {
      const { message } = cause as Error;
      throw fileError(this.#file.path, `is no whole gzip file (${message})`, cause);
    }
  }
}

const blockBytes = 256 * 1024;
