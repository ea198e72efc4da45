// Files as a source: CSV, JSON lines and Parquet, plain or gzip, by name or glob. Each file is a partition, so files are
// read side by side and each keeps its own order and position.

import { glob, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import {
  EtlError,
  type OpenPartitionRequest,
  type PartitionReader,
  type Source,
  type SourceCapabilities,
  type SourcePartition,
  type StageContext,
} from '@etl-router/core';
import { type AnyConnector, defineConnector } from '../connector-type.ts';
import { openLinePartition } from './line-partition.ts';
import { openParquetPartition } from './parquet-partition.ts';
import { assertRegularFile } from './regular-file.ts';
import { type FileSourceSettings, fileSourceHelp, readFileSource } from './settings.ts';

const filesMax = 10_000;

/** `file`, as a source. */
export const fileSource: AnyConnector = defineConnector<FileSourceSettings>({
  kind: 'source',
  type: 'file',
  settings: fileSourceHelp,
  read: readFileSource,
  capabilities,
  create: (settings) => new FileSource(settings),
});

function capabilities({ follow }: FileSourceSettings): SourceCapabilities {
  return { replayable: true, ordered: 'partition', bounded: !follow };
}

async function isFile(path: string, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() === true;
}

class FileSource implements Source {
  readonly capabilities: SourceCapabilities;
  readonly #settings: FileSourceSettings;
  #base = '';

  constructor(settings: FileSourceSettings) {
    this.#settings = settings;
    this.capabilities = capabilities(settings);
  }

  async open(context: StageContext): Promise<void> {
    this.#base = resolve(context.baseDirectory);
  }

  /** Throws ETL_CONNECTOR_FAILED when a bounded source finds no file: a typing error should not look like success. */
  async partitions(signal: AbortSignal): Promise<readonly SourcePartition[]> {
    const { path, follow } = this.#settings;
    const names: string[] = [];
    const isGlob = /[*?[{]/.test(path);
    if (!isGlob) {
      if (await isFile(resolve(this.#base, path), signal)) names.push(this.#nameOf(path));
    } else {
      for await (const found of glob(path, { cwd: this.#base, withFileTypes: true })) {
        const full = join(found.parentPath, found.name);
        const isIt = found.isSymbolicLink() ? await isFile(full, signal) : found.isFile();
        signal.throwIfAborted();
        if (isIt) names.push(this.#nameOf(full));
        if (names.length > filesMax) {
          throw new EtlError(
            'ETL_LIMIT_EXCEEDED',
            `path: ${path} matches more than ${filesMax} files; name fewer`,
          );
        }
      }
    }
    if (names.length === 0 && !follow) {
      if (!isGlob) await assertRegularFile(resolve(this.#base, path));
      throw new EtlError('ETL_CONNECTOR_FAILED', `path: ${path} matches no file in ${this.#base}`, {
        retryable: false,
      });
    }
    return names.toSorted().map((name) => ({ name }));
  }

  async openPartition(request: OpenPartitionRequest): Promise<PartitionReader> {
    const path = resolve(this.#base, request.lane.partition);
    return this.#settings.format === 'parquet'
      ? openParquetPartition(path, this.#settings, request)
      : openLinePartition({ path, settings: this.#settings, request });
  }

  async close(): Promise<void> {
    // Readers hold the files.
  }

  /** Relative to the base where it lies below it, so that a moved folder keeps its positions. */
  #nameOf(path: string): string {
    const full = resolve(this.#base, path);
    const name = relative(this.#base, full);
    return name.startsWith('..') || isAbsolute(name) ? full : name;
  }
}
