// One DuckDB file, open once in this process whoever uses it (two instances of one file in a process would destroy
// it), and closed while nobody writes so that other processes can query it. All work on a file goes through
// exclusive(), one after the other, each in a transaction of its own. Never hands out a connection beyond a call.

import { mkdirSync, realpathSync } from 'node:fs';
import { type FileHandle, mkdir, open, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { assert, type Cancel, type Clock, EtlError, isEtlError } from '@etl-router/core';

/** How a file is opened; the first stage that opens it decides. */
export interface DatabaseOptions {
  readonly memoryLimitBytes: number;
  readonly threads: number;
  /** Undefined: stays open until the last user releases it. */
  readonly idleCloseAfterMs: number | undefined;
}

/** Work inside a transaction. */
export interface Transaction {
  readonly connection: DuckDBConnection;
  /** Another number after each opening and each change of a table: what was remembered of the catalogue is void. */
  readonly generation: number;
  /** Says that a table is being made, changed or replaced; returns the generation from here on. */
  readonly changeCatalog: () => number;
}

/**
 * Write-ahead log at which its contents are moved to the file; bounds memory and the time of reopening. Done after the
 * write that passed it was reported, while the next rows are being made; DuckDB's own threshold is never reached.
 */
const checkpointBytes = 16 * 1024 * 1024;
const ownThreshold = '1GiB';

const files = new Map<string, DatabaseFile>();

/** A file shared by all who acquired it. */
export class DatabaseFile {
  readonly path: string;
  readonly #options: DatabaseOptions;
  readonly #clock: Clock;
  #users = 0;
  #generation = 0;
  #instance: DuckDBInstance | undefined;
  #connection: DuckDBConnection | undefined;
  #directory: FileHandle | undefined;
  /** Of the file as it was opened. */
  #inode: number | undefined;
  #logInode: number | undefined;
  #logBytes = 0;
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;
  #cancelIdle: Cancel | undefined;

  private constructor(path: string, options: DatabaseOptions, clock: Clock) {
    this.path = path;
    this.#options = options;
    this.#clock = clock;
  }

  /** The file at `path`, which need not exist yet; its directory is made. Release it when done. */
  static acquire(path: string, options: DatabaseOptions, clock: Clock): DatabaseFile {
    const real = realPath(path);
    let file = files.get(real);
    if (file === undefined) {
      file = new DatabaseFile(real, options, clock);
      files.set(real, file);
    }
    file.#users++;
    return file;
  }

  /** Whether the file is open now, and so locked against other processes. */
  get isOpen(): boolean {
    return this.#instance !== undefined;
  }

  /**
   * Runs `work` in a transaction that is committed when it resolves and rolled back when it rejects. Resolves when
   * the commit is on disk. Throws what `work` threw; for DuckDB's own errors a retryable ETL_CONNECTOR_FAILED.
   */
  exclusive<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    this.#cancelIdle?.();
    this.#cancelIdle = undefined;
    this.#waiting++;
    const run = this.#tail.then(() => this.#transact(work));
    const settle = async (): Promise<void> => {
      if (this.#logBytes >= checkpointBytes) await this.#checkpoint();
      this.#waiting--;
      this.#closeWhenIdle();
    };
    this.#tail = run.then(settle, settle);
    return run;
  }

  /**
   * Ends one use; the last one closes the file. Until it is closed it stays known, so that whoever acquires it
   * meanwhile waits for that instead of opening a second instance.
   */
  async release(): Promise<void> {
    assert(this.#users > 0, 'a file is released once for each time it was acquired');
    this.#users--;
    if (this.#users > 0) return;
    this.#cancelIdle?.();
    this.#cancelIdle = undefined;
    let last = this.#tail.then(() => this.#close());
    this.#tail = last;
    for (; ; last = this.#tail) {
      await last;
      if (last === this.#tail) break;
    }
    if (this.#users === 0 && files.get(this.path) === this) files.delete(this.path);
  }

  async #transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    try {
      const connection = await this.#open();
      await connection.run('BEGIN TRANSACTION');
      const result = await work({
        connection,
        generation: this.#generation,
        changeCatalog: () => ++this.#generation,
      });
      await connection.run('COMMIT');
      await this.#confirm();
      await this.#syncDirectory();
      return result;
    } catch (error) {
      await this.#abandon(error);
      throw isEtlError(error) ? error : this.#failure(error);
    }
  }

  /**
   * Rolls back. After an error that is not our own the instance is dropped as well: DuckDB refuses all work after a
   * fatal error until the file is opened again, and opening it again is what tells what was committed.
   */
  async #abandon(error: unknown): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    try {
      await connection.run('ROLLBACK');
      if (isEtlError(error)) return;
    } catch {
      // The transaction is gone with the instance.
    }
    await this.#drop();
  }

  async #open(): Promise<DuckDBConnection> {
    if (this.#connection !== undefined) return this.#connection;
    const { memoryLimitBytes, threads } = this.#options;
    await mkdir(dirname(this.path), { recursive: true });
    this.#directory ??= await open(dirname(this.path), 'r');
    // Loaded when a file is opened: most pipelines have none, and loading takes 90 ms of the processor.
    const duckdb = await import('@duckdb/node-api');
    this.#instance = await duckdb.DuckDBInstance.create(this.path, {
      memory_limit: `${Math.floor(memoryLimitBytes / 1024)}KiB`,
      threads: String(threads),
      checkpoint_threshold: ownThreshold,
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
    });
    this.#generation++;
    this.#logInode = undefined;
    this.#connection = await this.#instance.connect();
    this.#inode = (await stat(this.path)).ino;
    await this.#directory.sync();
    return this.#connection;
  }

  /** A file that was removed or moved stays writable, and what is committed to it is lost: that is a failure. */
  async #confirm(): Promise<void> {
    const found = await stat(this.path).catch(() => undefined);
    if (found !== undefined && found.ino === this.#inode) return;
    await this.#drop();
    throw new EtlError(
      'ETL_CONNECTOR_FAILED',
      `${this.path} was removed or replaced while it was written; what it held is gone, the write goes to the file that is there now`,
      { details: { file: this.path } },
    );
  }

  /**
   * DuckDB syncs its write-ahead log at each commit, but not the directory in which it made that log. So a log that
   * is new is made part of its directory here, before the commit is reported.
   */
  async #syncDirectory(): Promise<void> {
    const log = await stat(`${this.path}.wal`).catch(() => undefined);
    this.#logBytes = log?.size ?? 0;
    if (log?.ino === this.#logInode) return;
    this.#logInode = log?.ino;
    await this.#directory?.sync();
  }

  /** A failure says nothing of what was committed: it stays in the log, and the next use opens the file again. */
  async #checkpoint(): Promise<void> {
    this.#logBytes = 0;
    try {
      await this.#connection?.run('CHECKPOINT');
    } catch {
      await this.#drop();
    }
  }

  #closeWhenIdle(): void {
    const { idleCloseAfterMs } = this.#options;
    if (this.#waiting > 0 || this.#instance === undefined || idleCloseAfterMs === undefined) return;
    this.#cancelIdle?.();
    this.#cancelIdle = this.#clock.after(idleCloseAfterMs, () => {
      this.#cancelIdle = undefined;
      if (this.#waiting === 0) this.#tail = this.#tail.then(() => this.#close());
    });
  }

  /** Moves the write-ahead log into the file first, off the main thread; closing would do it on it. */
  async #close(): Promise<void> {
    await this.#checkpoint();
    await this.#drop();
  }

  async #drop(): Promise<void> {
    this.#connection?.closeSync();
    this.#instance?.closeSync();
    this.#connection = undefined;
    this.#instance = undefined;
    this.#logBytes = 0;
    const directory = this.#directory;
    this.#directory = undefined;
    await directory?.close();
  }

  #failure(error: unknown): EtlError {
    const message = error instanceof Error ? error.message : String(error);
    const options = { cause: error, details: { file: this.path } };
    if (/could not set lock/i.test(message)) {
      return new EtlError(
        'ETL_CONNECTOR_FAILED',
        `${this.path} is open in another process (${holder(message)}); close it there, it is tried again`,
        options,
      );
    }
    if (/constraint (?:error|failed)|violates .*constraint/i.test(message)) {
      return new EtlError(
        'ETL_RECORD_MALFORMED',
        `${this.path}: a record violates a constraint of the table: ${firstLine(message)}`,
        options,
      );
    }
    const refused = /not a valid duckdb|permission denied|read-only|catalog error|binder error/i;
    return new EtlError('ETL_CONNECTOR_FAILED', `${this.path}: ${firstLine(message)}`, {
      ...options,
      retryable: !refused.test(message),
    });
  }
}

function holder(message: string): string {
  return /PID \d+/.exec(message)?.[0] ?? 'holder unknown';
}

/** DuckDB's first line, without the values that a constraint error quotes. */
function firstLine(message: string): string {
  return (message.split('\n', 1)[0] as string).replace(/"[^"]*: [^"]*"/g, '"..."').slice(0, 300);
}

function realPath(path: string): string {
  const directory = dirname(path);
  mkdirSync(directory, { recursive: true });
  const known = join(realpathSync(directory), basename(path));
  try {
    return realpathSync(known);
  } catch {
    return known;
  }
}
