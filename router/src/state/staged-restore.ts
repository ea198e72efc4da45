// The rows of a restore that is under way, read as its chunks come, so that its commit has only to exchange tables. It
// is made of the rows of the chunks and of nothing else, and is no part of the state: it may be forgotten at any time,
// is made again from what is there, and never changes what a command answers.

import { type EtlError, isEtlError } from '@etl-router/core';
import type { StoredRestoreChunk, StoredRestoreChunkSchema } from '@etl-router/proto';
import { RestoredRows } from './restored-rows.ts';
import { RowReader } from './row-stream.ts';
import type { Table } from './table.ts';
import type { Tables } from './tables.ts';

export class StagedRestore {
  readonly #tables: Tables;
  /** The chunks that were read: the very rows, which are replaced and never edited. */
  #chunks: StoredRestoreChunk[] = [];
  #reader = new RowReader();
  #rows: RestoredRows;
  /** Why a row can not be restored, the first of them. */
  #refusal: EtlError | undefined;

  constructor(tables: Tables) {
    this.#tables = tables;
    this.#rows = new RestoredRows(tables);
  }

  /** Reads the chunks that it has not read yet. */
  read(): void {
    const { restoreChunks } = this.#tables;
    const keys = restoreChunks.keys();
    if (!this.#isOf(keys, restoreChunks)) this.clear();
    for (const key of keys.slice(this.#chunks.length)) {
      const chunk = restoreChunks.get(key) as StoredRestoreChunk;
      this.#chunks.push(chunk);
      if (this.#refusal === undefined) this.#readChunk(chunk);
    }
  }

  /** Replaces the tables by the rows of all chunks. Throws ETL_INVALID_ARGUMENT, and changes nothing, where one can not. */
  commit(revision: bigint): void {
    this.read();
    if (this.#refusal !== undefined) throw this.#refusal;
    this.#reader.end();
    this.#rows.commit(revision);
    this.clear();
  }

  /** Forgets what was read. */
  clear(): void {
    this.#chunks = [];
    this.#reader = new RowReader();
    this.#rows = new RestoredRows(this.#tables);
    this.#refusal = undefined;
  }

  #isOf(keys: readonly string[], chunks: Table<typeof StoredRestoreChunkSchema>): boolean {
    return this.#chunks.every((chunk, at) => chunks.get(keys[at] ?? '') === chunk);
  }

  #readChunk({ data }: StoredRestoreChunk): void {
    try {
      for (const row of this.#reader.read(data)) this.#rows.add(row);
    } catch (error) {
      if (!isEtlError(error)) throw error;
      this.#refusal = error;
    }
  }
}
