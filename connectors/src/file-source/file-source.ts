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
import { openFile } from './block-reader.ts';
import { fileError } from './errors.ts';
import { openLinePartition } from './line-partition.ts';
import { type FileSourceSettings, fileSourceHelp, readFileSource } from './settings.ts';

const filesMax = 10_000;

/** Longest name of a partition. */
const nameMaxBytes = 1024;

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

function isGlob(path: string): boolean {
  return /[*?[{]/.test(path);
}

async function isFile(path: string, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() === true;
}

class FileSource implements Source {
  readonly capabilities: SourceCapabilities;
  readonly #settings: FileSourceSettings;
  #context: StageContext | undefined;
  #base = '';

  constructor(settings: FileSourceSettings) {
    this.#settings = settings;
    this.capabilities = capabilities(settings);
  }

  async open(context: StageContext): Promise<void> {
    this.#context = context;
    this.#base = resolve(context.baseDirectory);
  }

  /** Throws ETL_CONNECTOR_FAILED when a bounded source finds no file: a typing error should not look like success. */
  async partitions(signal: AbortSignal): Promise<readonly SourcePartition[]> {
    const { path, follow } = this.#settings;
    const names: string[] = [];
    if (await isFile(resolve(this.#base, path), signal)) names.push(this.#nameOf(path));
    else if (isGlob(path)) await this.#match(names, signal);
    if (names.length > 0 || follow) return names.toSorted().map((name) => ({ name }));
    if (isGlob(path)) throw fileError(this.#base, `has no file that matches path: ${path}`);
    const full = resolve(this.#base, path);
    await (await openFile(full)).close();
    throw fileError(full, 'is not a regular file');
  }

  /** Adds the names of the files that match the glob; links to files are followed. */
  async #match(names: string[], signal: AbortSignal): Promise<void> {
    const { path } = this.#settings;
    for await (const found of glob(path, { cwd: this.#base, withFileTypes: true })) {
      const full = join(found.parentPath, found.name);
      const isIt = found.isSymbolicLink() ? await isFile(full, signal) : found.isFile();
      signal.throwIfAborted();
      if (isIt) names.push(this.#nameOf(full));
      if (names.length > filesMax) {
        const message = `path: ${path} matches more than ${filesMax} files; name fewer`;
        throw new EtlError('ETL_LIMIT_EXCEEDED', message);
      }
    }
  }

  async openPartition(request: OpenPartitionRequest): Promise<PartitionReader> {
    const partition = {
      path: resolve(this.#base, request.lane.partition),
      settings: this.#settings,
      request,
      context: this.#context as StageContext,
    };
    if (this.#settings.format !== 'parquet') return openLinePartition(partition);
    const { openParquetPartition } = await import('./parquet-partition.ts');
    return openParquetPartition(partition);
  }

  async close(): Promise<void> {
    // Readers hold the files.
  }

  /** Relative to the base where it lies below it, so that a moved folder keeps its positions. */
  #nameOf(path: string): string {
    const full = resolve(this.#base, path);
    const below = relative(this.#base, full);
    const name = below.startsWith('..') || isAbsolute(below) ? full : below;
    if (Buffer.byteLength(name) <= nameMaxBytes) return name;
    throw fileError(
      full,
      `has a name of more than ${nameMaxBytes} bytes; read it by a shorter one`,
    );
  }
}
