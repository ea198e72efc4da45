// The applied state in LevelDB. LevelDB drops damaged records when it opens, without a word, and may lose an earlier
// unsynced write but keep a later synced one; so it is believed only after a clean stop, and only if all its rows have
// the digest that the stop wrote down (docs/specs/0003-log-format.md, "Applied state"). Nobody reads it otherwise but
// views, so changes wait in memory and are written many at a time, and nothing here may be read past them.

import { createHash, type Hash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { assert, type EtlError, toEtlError } from '@etl-router/core';
import { Level } from 'level';
import { readCount, viewOf, writeCount } from '../storage/bytes.ts';
import { directoryOf, onDisk, readWhole, replaceFile } from '../storage/disk.ts';
import { type LogPosition, logStart } from '../storage/log-types.ts';
import { nodeDisk } from '../storage/node-disk.ts';
import type { AppliedStore, AppliedView, Changes, Row, RowChange } from './applied-store.ts';
import { WaitingChanges } from './waiting-changes.ts';

/** What a clean stop leaves beside the directory. */
interface CleanStop {
  readonly index: number;
  readonly term: number;
  readonly rows: number;
  readonly sha256: string;
}

/** `kept`: as the last stop left it. Otherwise it starts empty: new, or why it was wiped. */
export type StoreOrigin = 'kept' | 'new' | 'unclean stop' | 'damaged';

type Database = Level<Uint8Array, Uint8Array>;

const positionKey = Uint8Array.of(0);
/** First byte of every row's key. */
const rowByte = 1;
const rowsAtATime = 1000;
/** Rows handed to LevelDB at a time, and bytes of them: the main thread is held for a millisecond or two. */
const writeMaxRows = 512;
const writeMaxBytes: number = 256 * 1024;
/**
 * Rows that wait before they are written; twice as many are held while that goes on. They are those of the state, so
 * what they take beside it is their keys and what replaces them meanwhile.
 */
const waitingMaxRows = 16_384;

export interface LevelStoreOptions {
  /** Rows that wait before they are written. Default 16,384. */
  readonly waitingRows?: number;
}

/** The applied state of this member. */
export class LevelStore implements AppliedStore {
  readonly origin: StoreOrigin;
  readonly #directory: string;
  readonly #database: Database;
  readonly #waitingMax: number;
  readonly #waiting = new WaitingChanges();
  #applied: LogPosition;
  #turns: Promise<void> = Promise.resolve();
  #writing: Promise<void> | undefined;
  #failure: EtlError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    directory: string,
    database: Database,
    content: { readonly origin: StoreOrigin; readonly applied: LogPosition } & LevelStoreOptions,
  ) {
    this.#directory = directory;
    this.#database = database;
    this.origin = content.origin;
    this.#applied = content.applied;
    this.#waitingMax = content.waitingRows ?? waitingMaxRows;
  }

  /** Opens the store in `directory`, which the caller has locked; wipes it unless it can be believed. */
  static async open(directory: string, options: LevelStoreOptions = {}): Promise<LevelStore> {
    const cleanFile = cleanFileOf(directory);
    const clean = await readCleanStop(cleanFile);
    if (clean !== undefined) {
      const kept = await openKept(directory, clean);
      if (kept !== undefined) {
        await forgetCleanStop(cleanFile);
        const applied = { index: clean.index, term: clean.term };
        return new LevelStore(directory, kept, { ...options, origin: 'kept', applied });
      }
      await forgetCleanStop(cleanFile);
    }
    const existed = (await nodeDisk.list(directory)).length > 0;
    await onDisk('wipe', directory, () => rm(directory, { recursive: true, force: true }));
    const origin = clean !== undefined ? 'damaged' : existed ? 'unclean stop' : 'new';
    const database = await openDatabase(directory);
    return new LevelStore(directory, database, { ...options, origin, applied: logStart });
  }

  get applied(): LogPosition {
    return this.#applied;
  }

  load(): Promise<readonly Row[]> {
    return this.#inTurn('read', async () => {
      await this.#writeWaiting();
      const rows: Row[] = [];
      for await (const some of rowsOf(this.#database)) rows.push(...some);
      return rows;
    });
  }

  async apply(changes: Changes, applied: LogPosition): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#waiting.add(changes);
    this.#applied = applied;
    if (this.#waiting.count < this.#waitingMax) return;
    await this.#writing;
    this.#writing = this.#writeBeside();
  }

  replace(rows: Iterable<Row>, applied: LogPosition): Promise<void> {
    return this.#inTurn('write', async () => {
      this.#waiting.take();
      this.#applied = logStart;
      await this.#database.clear();
      await this.#write(changesOf(rows), applied);
      this.#applied = applied;
    });
  }

  view(): Promise<AppliedView> {
    return this.#inTurn('read', async () => {
      const applied = await this.#writeWaiting();
      const database = this.#database;
      const snapshot = database.snapshot();
      return {
        applied,
        rows: () => rowsOf(database, snapshot),
        close: () => snapshot.close(),
      };
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const directory = this.#directory;
    let content: Pick<CleanStop, 'rows' | 'sha256'> | undefined;
    try {
      content = await this.#inTurn('read', async () => {
        await this.#writeWaiting();
        return await digestOf(this.#database);
      });
    } finally {
      await onDisk('close', directory, () => this.#database.close());
    }
    await syncFiles(directory);
    const stop: CleanStop = { ...this.#applied, ...content };
    await replaceFile(nodeDisk, cleanFileOf(directory), Buffer.from(JSON.stringify(stop)));
  }

  /** One at a time, in order; after an error nothing. Between two turns the rows are those of one entry. */
  #inTurn<Result>(what: string, run: () => Promise<Result>): Promise<Result> {
    const turn = this.#turns.then(async () => {
      if (this.#failure !== undefined) throw this.#failure;
      try {
        return await onDisk(what, this.#directory, run);
      } catch (error) {
        this.#failure = toEtlError(error);
        throw error;
      }
    });
    this.#turns = turn.then(
      () => {},
      () => {},
    );
    return turn;
  }

  /** What fails is kept, and thrown by whoever comes next. */
  async #writeBeside(): Promise<void> {
    try {
      await this.#inTurn('write', () => this.#writeWaiting());
    } catch {
      assert(this.#failure !== undefined, 'what failed is kept');
    }
  }

  /** Writes all that waits, and returns the entry that the rows are as of then. */
  async #writeWaiting(): Promise<LogPosition> {
    const applied = this.#applied;
    await this.#write(this.#waiting.take(), applied);
    return applied;
  }

  /** Writes in pieces, the position with the last. */
  async #write(changes: Iterable<RowChange>, applied: LogPosition): Promise<void> {
    let batch = this.#database.batch();
    let bytes = 0;
    for (const { key, value } of changes) {
      if (value === undefined) batch.del(storedKey(key));
      else batch.put(storedKey(key), value);
      bytes += value?.length ?? 0;
      if (batch.length < writeMaxRows && bytes < writeMaxBytes) continue;
      await batch.write();
      batch = this.#database.batch();
      bytes = 0;
    }
    await batch.put(positionKey, positionBytes(applied)).write();
  }
}

function cleanFileOf(directory: string): string {
  return `${directory}.clean`;
}

async function readCleanStop(path: string): Promise<CleanStop | undefined> {
  const bytes = await readWhole(nodeDisk, path);
  if (bytes === undefined) return undefined;
  const nothing: CleanStop = { index: 0, term: 0, rows: 0, sha256: '' };
  try {
    return { ...nothing, ...(JSON.parse(Buffer.from(bytes).toString('utf8')) as CleanStop) };
  } catch {
    return nothing;
  }
}

/** From here on a crash is an unclean stop. */
async function forgetCleanStop(path: string): Promise<void> {
  await onDisk('remove', path, async () => {
    await nodeDisk.remove(path);
    await nodeDisk.syncDirectory(directoryOf(path));
  });
}

async function openDatabase(directory: string): Promise<Database> {
  const database: Database = new Level(directory, { keyEncoding: 'view', valueEncoding: 'view' });
  await onDisk('open', directory, () => database.open());
  return database;
}

/** The database, if it holds exactly what the clean stop wrote down. */
async function openKept(directory: string, clean: CleanStop): Promise<Database | undefined> {
  let database: Database | undefined;
  try {
    database = await openDatabase(directory);
    if (await isAsStopped(database, clean)) return database;
  } catch {
    // Whatever keeps it from being read, a fresh one takes its place; if that fails too, that is the error to see.
  }
  await database?.close();
  return undefined;
}

async function isAsStopped(database: Database, clean: CleanStop): Promise<boolean> {
  const { rows, sha256 } = await digestOf(database);
  const position = await database.get(positionKey);
  const { index, term } = position === undefined ? logStart : positionOf(position);
  const samePlace = index === clean.index && term === clean.term;
  return samePlace && rows === clean.rows && sha256 === clean.sha256;
}

async function digestOf(database: Database): Promise<Pick<CleanStop, 'rows' | 'sha256'>> {
  const hash = createHash('sha256');
  let rows = 0;
  for await (const some of rowsOf(database)) {
    rows += some.length;
    for (const row of some) hashRow(hash, row);
  }
  return { rows, sha256: hash.digest('hex') };
}

function hashRow(hash: Hash, [key, value]: Row): void {
  const lengths = new Uint8Array(8);
  const view = viewOf(lengths);
  view.setUint32(0, key.length, true);
  view.setUint32(4, value.length, true);
  hash.update(lengths).update(key).update(value);
}

async function* rowsOf(
  database: Database,
  snapshot?: ReturnType<Database['snapshot']>,
): AsyncGenerator<readonly Row[]> {
  const range = { gte: Uint8Array.of(rowByte), lt: Uint8Array.of(rowByte + 1) };
  const iterator = database.iterator(snapshot === undefined ? range : { ...range, snapshot });
  try {
    for (;;) {
      const some = await iterator.nextv(rowsAtATime);
      if (some.length === 0) return;
      yield some.map(([key, value]): Row => [key.subarray(1), value]);
    }
  } finally {
    await iterator.close();
  }
}

function* changesOf(rows: Iterable<Row>): Generator<RowChange> {
  for (const [key, value] of rows) yield { key, value };
}

function storedKey(key: Uint8Array): Uint8Array {
  const stored = new Uint8Array(key.length + 1);
  stored[0] = rowByte;
  stored.set(key, 1);
  return stored;
}

function positionBytes({ index, term }: LogPosition): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = viewOf(bytes);
  writeCount(view, 0, index);
  writeCount(view, 8, term);
  return bytes;
}

function positionOf(bytes: Uint8Array): LogPosition {
  if (bytes.length !== 16) return logStart;
  const view = viewOf(bytes);
  return { index: readCount(view, 0) ?? 0, term: readCount(view, 8) ?? 0 };
}

/** LevelDB syncs neither its log when it closes nor the one it leaves for a new one. */
async function syncFiles(directory: string): Promise<void> {
  for (const name of await nodeDisk.list(directory)) {
    const path = `${directory}/${name}`;
    const file = await onDisk('open', path, () => nodeDisk.open(path, 'read'));
    try {
      await onDisk('sync', path, () => file.sync());
    } finally {
      await file.close();
    }
  }
  await onDisk('sync', directory, () => nodeDisk.syncDirectory(directory));
}
