// Writes records into a table of a DuckDB file. One write is one transaction that holds the rows, the lane's position
// and the check of its epoch; it takes effect as a whole or, if one of its records does not fit, not at all.

import { isAbsolute, resolve } from 'node:path';
import {
  assert,
  type BatchPreference,
  comparePositions,
  EtlError,
  type Lane,
  type RecordBatch,
  type RecordFailure,
  type Sink,
  type SinkCapabilities,
  type SinkLaneState,
  type StageContext,
  toEtlError,
  type WriteResult,
} from '@etl-router/core';
import { type Rows, Table } from '../columns/table.ts';
import { type AnyConnector, defineConnector } from '../connector-type.ts';
import {
  createLoads,
  deleteLoad,
  insertLoad,
  quote,
  quoteTable,
  readColumns,
  readLoad,
  type TableName,
} from './catalog.ts';
import { DatabaseFile, type Transaction } from './database.ts';
import { latestByKey } from './latest.ts';
import {
  checkLane,
  createPositions,
  type LaneOwner,
  raiseEpoch,
  storePosition,
} from './positions.ts';
import { type DuckdbSettings, duckdbSettingsHelp, readDuckdbSettings } from './settings.ts';
import {
  findTarget,
  growTarget,
  insertRows,
  makeTarget,
  mergeRows,
  type Target,
} from './target.ts';

/** `duckdb`. */
export const duckdbSink: AnyConnector = defineConnector<DuckdbSettings>({
  kind: 'sink',
  type: 'duckdb',
  settings: duckdbSettingsHelp,
  read: readDuckdbSettings,
  capabilities,
  create: (settings) => new DuckdbSink(settings),
});

function capabilities({ mode }: DuckdbSettings): SinkCapabilities {
  return { durable: true, idempotentByKey: mode === 'upsert', transactionalPosition: true };
}

const nothingFailed: WriteResult = { failures: [] };

/** Rows made of a batch before its transaction began, for the target as it was known then. */
interface Prepared {
  readonly target: Target;
  /** The target's table, or one with more columns. */
  readonly table: Table;
  readonly rows: Rows;
}

class DuckdbSink implements Sink {
  readonly capabilities: SinkCapabilities;
  readonly batch: BatchPreference = {
    maxRecords: 8192,
    maxBytes: 8 * 1024 * 1024,
    maxWaitMs: 250,
  };
  readonly #settings: DuckdbSettings;
  #file: DatabaseFile | undefined;
  #context: StageContext | undefined;
  /** Where rows go, as of a generation of the file's catalogue. */
  #target: Target | undefined;
  #generation = 0;

  constructor(settings: DuckdbSettings) {
    this.#settings = settings;
    this.capabilities = capabilities(settings);
  }

  async open(context: StageContext): Promise<void> {
    assert(this.#file === undefined, 'a sink is opened once');
    const { path, memoryLimitBytes, threads, idleCloseAfterMs } = this.#settings;
    const absolute = isAbsolute(path) ? path : resolve(context.baseDirectory, path);
    this.#context = context;
    const options = { memoryLimitBytes, threads, idleCloseAfterMs };
    this.#file = DatabaseFile.acquire(absolute, options, context.clock);
  }

  openLane(lane: Lane, epoch: number): Promise<SinkLaneState> {
    return this.#run(async ({ connection }) => {
      await createPositions(connection);
      const { position } = await raiseEpoch(connection, this.#owner(lane), epoch);
      return { position };
    });
  }

  async write(batch: RecordBatch, signal: AbortSignal): Promise<WriteResult> {
    throwIfAborted(signal);
    if (batch.count === 0) return nothingFailed;
    const prepared = this.#target === undefined ? undefined : prepare(this.#target, batch);
    return this.#run(async (transaction) => {
      throwIfAborted(signal);
      const { connection } = transaction;
      const owner = this.#owner(batch.lane);
      const held = await checkLane(connection, owner, batch.epoch);
      const skipped = held === undefined ? 0 : countUpTo(batch, held);
      if (skipped === batch.count) return nothingFailed;
      const left = batch.slice(skipped, batch.count);
      const failures = await this.#store(transaction, left, skipped === 0 ? prepared : undefined);
      if (failures.length > 0) {
        return {
          failures: failures.map((failure) => ({ ...failure, index: failure.index + skipped })),
        };
      }
      await storePosition(connection, owner, batch.position(batch.count - 1));
      throwIfAborted(signal);
      return nothingFailed;
    });
  }

  /** For `replace`: the staging table takes the place of the table, in one transaction. */
  async complete(): Promise<void> {
    if (this.#settings.mode !== 'replace') return;
    await this.#run(async (transaction) => {
      const { connection } = transaction;
      await createPositions(connection);
      await createLoads(connection);
      const name = this.#tableName();
      const staging = stagingOf(name);
      const load = await readLoad(connection, name);
      if (load === undefined || !this.#isOurs(load)) return;
      transaction.changeCatalog();
      await connection.run(`DROP TABLE IF EXISTS ${quoteTable(name)}`);
      await connection.run(`ALTER TABLE ${quoteTable(staging)} RENAME TO ${quote(name.table)}`);
      await deleteLoad(connection, name);
    });
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.release();
  }

  async #run<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    if (this.#file === undefined) {
      throw new EtlError('ETL_CANCELLED', 'the DuckDB sink is closed');
    }
    try {
      return await this.#file.exclusive(work);
    } catch (error) {
      this.#target = undefined;
      throw error;
    }
  }

  /** Stores the rows of the batch, or returns why some records do not fit and stores nothing. */
  async #store(
    transaction: Transaction,
    batch: RecordBatch,
    prepared: Prepared | undefined,
  ): Promise<readonly RecordFailure[]> {
    const target = await this.#findTarget(transaction, batch);
    if (target === undefined) return withoutColumns(batch);
    const { connection } = transaction;
    const { table, rows } = prepared?.target === target ? prepared : prepare(target, batch);
    if (rows.failures.length > 0) return rows.failures;
    const { mode, idColumn } = this.#settings;
    const key = this.#settings.key.length > 0 ? this.#settings.key : [idColumn];
    const latest = mode === 'upsert' ? latestByKey(table.columns, key, rows) : rows;
    if (latest.failures.length > 0) return latest.failures;
    let grown = target;
    if (table !== target.table) {
      grown = await growTarget(connection, target, table);
      this.#remember(grown, transaction.changeCatalog());
    }
    if (mode === 'upsert') await mergeRows(connection, grown, { cells: latest.cells, key });
    else await insertRows(connection, grown, latest.cells);
    return [];
  }

  /** The table to write to, found or made; undefined when it has to be inferred from records that show no field. */
  async #findTarget(transaction: Transaction, batch: RecordBatch): Promise<Target | undefined> {
    const { connection, generation } = transaction;
    if (this.#target !== undefined && this.#generation === generation) return this.#target;
    const settings = this.#settings;
    const name = settings.mode === 'replace' ? await this.#staging(transaction) : this.#tableName();
    const found = await findTarget(connection, name, settings);
    if (found !== undefined) return this.#remember(found, generation);
    const made = await makeTarget(connection, name, { settings, batch });
    return made === undefined ? undefined : this.#remember(made, transaction.changeCatalog());
  }

  /**
   * The staging table's name. A load that this stage began goes on with what is there; a table of that name without
   * a load is a leftover and is dropped. Throws while another stage replaces the table.
   */
  async #staging({ connection }: Transaction): Promise<TableName> {
    const name = this.#tableName();
    const staging = stagingOf(name);
    await createLoads(connection);
    const load = await readLoad(connection, name);
    if (load === undefined) {
      if ((await readColumns(connection, staging)) !== undefined) {
        await connection.run(`DROP TABLE ${quoteTable(staging)}`);
      }
      const { pipeline, stage } = this.#owned();
      await insertLoad(connection, name, { pipeline, stage });
    } else if (!this.#isOurs(load)) {
      throw new EtlError(
        'ETL_CONNECTOR_FAILED',
        `table ${name.table} is being replaced by stage ${load.stage} of pipeline ${load.pipeline}; wait until it is complete, or give another table`,
        { details: { table: name.table } },
      );
    }
    return staging;
  }

  #isOurs(load: { readonly pipeline: string; readonly stage: string }): boolean {
    const { pipeline, stage } = this.#owned();
    return load.pipeline === pipeline && load.stage === stage;
  }

  #remember(target: Target, generation: number): Target {
    this.#target = target;
    this.#generation = generation;
    return target;
  }

  #tableName(): TableName {
    return { schema: this.#settings.schema, table: this.#settings.table };
  }

  #owner(lane: Lane): LaneOwner {
    const { pipeline, stage } = this.#owned();
    return { pipeline, stage, lane };
  }

  #owned(): StageContext {
    assert(this.#context !== undefined, 'a sink is opened before it is used');
    return this.#context;
  }
}

/** Rows for the target; where records have fields of no column and the table may grow, for the grown one. */
function prepare(target: Target, batch: RecordBatch): Prepared {
  const { table } = target;
  const rows = table.rows(batch);
  const grows =
    table.newFields === 'addColumns' && rows.failures.some(({ code }) => code === 'UNKNOWN_FIELD');
  const grown = grows ? table.grownBy(batch) : table;
  return { target, table: grown, rows: grown === table ? rows : grown.rows(batch) };
}

/** Failures for records that no table can be made of. */
function withoutColumns(batch: RecordBatch): readonly RecordFailure[] {
  const { failures, records } = new Table([], 'ignore').rows(batch);
  const empty = records.map((index) => ({
    index,
    code: 'NO_COLUMNS',
    message: 'the table does not exist yet and the record shows no field to make a column of',
    retryable: false,
  }));
  return [...failures, ...empty];
}

function stagingOf({ schema, table }: TableName): TableName {
  return { schema, table: `${table}__etl_next` };
}

/** Records at or before `position`. */
function countUpTo(batch: RecordBatch, position: Uint8Array): number {
  let count = 0;
  while (count < batch.count && comparePositions(batch.position(count), position) <= 0) count++;
  return count;
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw toEtlError(signal.reason, 'ETL_CANCELLED');
}
