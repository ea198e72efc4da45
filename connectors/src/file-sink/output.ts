// The files of one output and their state: recovers them, appends to the current one, finishes it. The order of every
// step is data, sync, state, sync; so what the state says is there is there. After an error nothing here is used
// again: the sink opens the output anew, and recovery settles what happened.

import { basename, dirname, join } from 'node:path';
import { assert, EtlError } from '@etl-router/core';
import type { Column } from '../columns/table.ts';
import { type FileSystem, type StoredFile, syncDirectory, writeFully } from './files.ts';
import { lockOutput, type OutputLock } from './lock.ts';
import { sequenceMark } from './settings.ts';
import { type Change, type FileState, type SinkState, StateLog } from './state.ts';

/** Directory of the state, beside the data. */
const stateDirectory = '.etl';
const partialSuffix = '.partial';

export interface OutputOptions {
  readonly files: FileSystem;
  /** Absolute. */
  readonly path: string;
  readonly isSeries: boolean;
}

/** What is appended by one step: bytes and what they mean. */
export interface Addition {
  readonly bytes: readonly Uint8Array[];
  readonly records: number;
  /** Stored in the same state record as the new length. */
  readonly change: Omit<Change, 'file'>;
}

/** An output that this process holds the lock of. */
export class Output {
  readonly #options: OutputOptions;
  readonly #directory: string;
  readonly #lock: OutputLock;
  readonly #log: StateLog;
  #data: StoredFile | undefined;

  private constructor(
    options: OutputOptions,
    held: { readonly lock: OutputLock; readonly log: StateLog },
  ) {
    this.#options = options;
    this.#directory = dirname(options.path);
    this.#lock = held.lock;
    this.#log = held.log;
  }

  /** Takes the lock, reads the state and cuts off what was never acknowledged. */
  static async open(options: OutputOptions): Promise<Output> {
    const { files, path } = options;
    const states = join(dirname(path), stateDirectory);
    await files.makeDirectory(states);
    const lock = await lockOutput(states, basename(path));
    try {
      const log = await StateLog.open(files, states, basename(path));
      const output = new Output(options, { lock, log });
      try {
        await output.#recover();
        return output;
      } catch (error) {
        await output.#closeFiles();
        throw error;
      }
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  get state(): SinkState {
    return this.#log.state;
  }

  /** Stores a change that moves no data. */
  async record(change: Change): Promise<void> {
    await this.#log.append(change);
  }

  /** Begins a file, empty; its rows will have `columns`. */
  async begin(columns: readonly Column[] | undefined, startedMs: number): Promise<void> {
    assert(this.state.file === undefined, 'one file at a time');
    const { files, path, isSeries } = this.#options;
    const { name, next } = isSeries ? await this.#freeName() : { name: basename(path), next: 1 };
    const current = join(this.#directory, name + (isSeries ? partialSuffix : ''));
    if (isSeries) await files.remove(current);
    else await this.#refuseForeign();
    this.#data = await files.open(
      current,
      (await files.size(current)) === undefined ? 'wx+' : 'r+',
    );
    await this.#data.sync();
    await syncDirectory(files, this.#directory);
    await this.#log.append({
      file: { name, length: 0, records: 0, startedMs },
      next,
      ...(columns === undefined ? {} : { columns }),
    });
  }

  /** Appends to the current file; resolves when data and state are on disk, under the names they are looked for. */
  async append({ bytes, records, change }: Addition): Promise<void> {
    const { file } = this.state;
    assert(file !== undefined && this.#data !== undefined, 'a file was begun');
    let { length } = file;
    for (const part of bytes) {
      await writeFully(this.#data, part, length);
      length += part.length;
    }
    if (length > file.length) await this.#data.datasync();
    await this.#log.append({
      ...change,
      file: { ...file, length, records: file.records + records },
    });
    await this.confirm();
  }

  /**
   * Throws when the current file or the state is no longer where they are looked for: both stay writable after someone
   * removed or moved them, and what is stored there is lost. A file that is longer than what was written is not noticed.
   */
  async confirm(): Promise<void> {
    await this.#log.confirm();
    const { file } = this.state;
    if (file !== undefined) await this.#sizeOf(file);
  }

  /** Completes the current file of a series: `tail` is its end, then it gets its name. */
  async finish(tail: Uint8Array): Promise<void> {
    const { file } = this.state;
    assert(
      file !== undefined && this.#data !== undefined && this.#options.isSeries,
      'a file of a series was begun',
    );
    if (tail.length > 0) {
      await writeFully(this.#data, tail, file.length);
      await this.#data.datasync();
    }
    await this.confirm();
    await this.#log.append({ file: null, finished: file.name });
    await this.#data.close();
    this.#data = undefined;
    await this.#publish(file.name);
  }

  async close(): Promise<void> {
    await this.#closeFiles();
    await this.#lock.release();
  }

  async #closeFiles(): Promise<void> {
    const data = this.#data;
    this.#data = undefined;
    await data?.close();
    await this.#log.close();
  }

  async #recover(): Promise<void> {
    const { finished, file } = this.state;
    if (finished !== undefined) await this.#publish(finished);
    if (file === undefined) {
      if (!this.#options.isSeries) await this.#refuseForeign();
      return;
    }
    const { path, size } = await this.#sizeOf(file);
    this.#data = await this.#options.files.open(path, 'r+');
    if (size > file.length) {
      await this.#data.truncate(file.length);
      await this.#data.sync();
    }
  }

  /** Where the current file is and how long. Throws when what was stored is not all there. */
  async #sizeOf(file: FileState): Promise<{ readonly path: string; readonly size: number }> {
    const { files, isSeries } = this.#options;
    const path = join(this.#directory, file.name + (isSeries ? partialSuffix : ''));
    const size = await files.size(path);
    if (size !== undefined && size >= file.length) return { path, size };
    const state = this.#log.path;
    const found = size === undefined ? 'is missing' : `has ${size} bytes`;
    const rest = size === undefined ? 'its state' : 'it and its state';
    throw new EtlError(
      'ETL_STORAGE_CORRUPT',
      `${path}: ${found}, but ${file.length} bytes were stored; restore it, or remove ${rest} ${state} to start over`,
      { details: { file: path, bytes: file.length, state } },
    );
  }

  /** A file that was there before: what it holds is not known, so nothing is put behind it. */
  async #refuseForeign(): Promise<void> {
    const { files, path } = this.#options;
    if (((await files.size(path)) ?? 0) === 0) return;
    throw new EtlError(
      'ETL_CONFIG_INVALID',
      `path: ${path} exists and was not written by this sink; move it away or give another path`,
      { details: { field: 'path', file: path } },
    );
  }

  async #publish(name: string): Promise<void> {
    const { files } = this.#options;
    const path = join(this.#directory, name);
    if ((await files.size(path + partialSuffix)) !== undefined) {
      await files.rename(path + partialSuffix, path);
      await syncDirectory(files, this.#directory);
    }
    await this.#log.append({ finished: null });
  }

  /** The next name of the series that no file has. An unfinished one without bytes was never written to: it is ours. */
  async #freeName(): Promise<{ readonly name: string; readonly next: number }> {
    const { files } = this.#options;
    for (let number = this.state.next; ; number++) {
      const mark = String(number).padStart(6, '0');
      const name = basename(this.#options.path).replace(sequenceMark, mark);
      const path = join(this.#directory, name);
      const [finished, partial] = [await files.size(path), await files.size(path + partialSuffix)];
      if (finished === undefined && (partial ?? 0) === 0) return { name, next: number + 1 };
    }
  }
}
