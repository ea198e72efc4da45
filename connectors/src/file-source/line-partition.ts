// One file of lines as a lane: JSON lines are handed on as they are, CSV rows become JSON objects. What is no record
// stops the lane, is left out or goes on marked, as `onMalformed` says; it is never made into something else.

import {
  BatchBuilder,
  EtlError,
  type PartitionReader,
  type ReadRequest,
  type ReadResult,
} from '@etl-router/core';
import { type BlockReader, openBlocks } from './block-reader.ts';
import { parseHeader, RowConverter } from './csv.ts';
import { fileError, replacedError } from './errors.ts';
import { type FilePartition, restartOf, startOf } from './partition.ts';
import { extendMark, type FilePosition, PositionWriter } from './position.ts';
import { type RecordFormat, RecordReader } from './records.ts';
import { commonFields, frameBytesMax } from './settings.ts';

/** Header of a record that is none, under `onMalformed: keep`: what is wrong with it. */
export const errorHeader = 'etl-source-error';

/** How long the file that lost its name is still read when nothing comes: writers close it late. */
const rotationQuietMs = 5000;

/** A file that is being read, and how its bytes become records. */
interface OpenedLines {
  readonly blocks: BlockReader;
  readonly records: RecordReader;
  readonly rows: RowConverter | undefined;
  /** The header is not there yet, so nothing can be read. */
  readonly isWaiting: boolean;
  readonly position: PositionWriter;
  readonly generation: number;
}

/** Opens a file where its lane stands. */
export async function openLinePartition(partition: FilePartition): Promise<PartitionReader> {
  const after = startOf(partition) ?? { generation: 0, offset: 0, mark: 0 };
  const file = await openLines(partition, after);
  if (typeof file !== 'string') return new LinePartitionReader(partition, file);
  const restart = restartOf(partition, after.generation, file);
  const again = await openLines(partition, restart);
  if (typeof again === 'string') throw replacedError(partition.path, again);
  return new LinePartitionReader(partition, again);
}

/** Opens the file at a position; what is wrong with it when the position is not of this file. */
async function openLines(
  partition: FilePartition,
  after: FilePosition,
): Promise<OpenedLines | string> {
  const { path, settings, request } = partition;
  const isGzip =
    settings.compression === 'gzip' || (settings.compression === 'auto' && path.endsWith('.gz'));
  const opening = { path, isGzip, signal: request.signal };
  const format = formatOf(partition);
  const header = settings.format === 'csv' ? await openRows(partition, opening) : undefined;
  const offset = after.offset === 0 ? (header?.end ?? 0) : after.offset;
  const blocks = await openBlocks({ ...opening, offset });
  if (blocks === undefined) return `is shorter than the ${offset} bytes that were read of it`;
  try {
    if (after.offset > 0 && extendMark(0, blocks.head) !== after.mark) {
      await blocks.close();
      return 'is another file than the one that was read before';
    }
    const records = new RecordReader(blocks, offset, format);
    const { generation } = after;
    const position = new PositionWriter(generation);
    const isWaiting = header !== undefined && header.rows === undefined;
    return { blocks, records, rows: header?.rows, isWaiting, position, generation };
  } catch (error) {
    await blocks.close();
    throw error;
  }
}

function formatOf({ path, settings }: FilePartition): RecordFormat {
  const { format, maxRecordBytes: maxBytes, csv } = settings;
  const quoting =
    format === 'csv' && csv.quote !== ''
      ? { quote: csv.quote.charCodeAt(0), delimiter: csv.delimiter.charCodeAt(0) }
      : undefined;
  return { path, maxBytes, quoting };
}

/** The converter for the columns of the file, and where its first row starts. */
async function openRows(
  partition: FilePartition,
  opening: { readonly path: string; readonly isGzip: boolean; readonly signal: AbortSignal },
): Promise<{ readonly rows: RowConverter | undefined; readonly end: number }> {
  const { csv } = partition.settings;
  if (!csv.header) return { rows: new RowConverter(csv.columns, csv), end: 0 };
  const blocks = (await openBlocks({ ...opening, offset: 0 })) as BlockReader;
  try {
    const records = new RecordReader(blocks, 0, formatOf(partition));
    while (!records.find()) {
      if (await records.fill()) continue;
      if (partition.settings.follow || !records.finish()) return { rows: undefined, end: 0 };
    }
    if (records.fault !== undefined) throw fileError(opening.path, `the header ${records.fault}`);
    const row = records.bytes.subarray(records.from, records.to);
    const names = parseHeader(row, csv, opening.path);
    return { rows: new RowConverter(names, csv), end: records.end };
  } finally {
    await blocks.close();
  }
}

class LinePartitionReader implements PartitionReader {
  readonly #partition: FilePartition;
  readonly #builder = new BatchBuilder(256 * 1024);
  readonly #common: Buffer;
  #file: OpenedLines;
  #failure: EtlError | undefined;
  #malformed = 0;
  #rotatedAtMs: number | undefined;
  #isIdle = false;

  constructor(partition: FilePartition, file: OpenedLines) {
    this.#partition = partition;
    this.#file = file;
    this.#common = commonFields(partition.settings);
  }

  async next(request: ReadRequest): Promise<ReadResult> {
    const builder = this.#builder;
    for (;;) {
      if (builder.count === 0) {
        if (this.#failure !== undefined) throw this.#failure;
        request.signal.throwIfAborted();
      }
      if (this.#isIdle) await this.#assertUncut();
      const isFull = await this.#collect(request);
      if (builder.count > 0) {
        if (!this.#file.records.isFinished) this.#rotatedAtMs = undefined;
        return { kind: 'batch', batch: this.#build() };
      }
      if (isFull) continue;
      const outcome = await this.#atEnd();
      this.#isIdle = outcome === 'idle';
      if (outcome !== 'again') return { kind: outcome };
    }
  }

  async acknowledge(): Promise<void> {
    // Files are not ours to change.
  }

  lag(): { readonly bytes: number } {
    return { bytes: this.#file.records.left() };
  }

  close(): Promise<void> {
    return this.#file.blocks.close();
  }

  #build(): ReturnType<BatchBuilder['build']> {
    const { lane, epoch } = this.#partition.request;
    return this.#builder.build({ lane, epoch, firstSequence: 0, watermark: undefined });
  }

  /** Appends records until the batch is full, which is true, or there are none now. A failure waits for its turn. */
  async #collect(request: ReadRequest): Promise<boolean> {
    const { records, isWaiting } = this.#file;
    if (isWaiting) return false;
    try {
      for (;;) {
        while (records.find()) {
          if (!this.#append(request)) return true;
        }
        if (request.signal.aborted && this.#builder.count > 0) return true;
        request.signal.throwIfAborted();
        if (!(await records.fill())) return false;
      }
    } catch (error) {
      if (!(error instanceof EtlError) || this.#builder.count === 0) throw error;
      this.#failure = error;
      return true;
    }
  }

  /** Appends the record that was found; false when it has to wait for the next batch. */
  #append({ maxRecords, maxBytes }: ReadRequest): boolean {
    const { records, rows, position } = this.#file;
    const builder = this.#builder;
    if (builder.count >= maxRecords) return false;
    const fault = records.fault ?? rows?.convert(records.bytes, records.from, records.to);
    const payload = rows === undefined || fault !== undefined ? records : rows;
    if (fault !== undefined && !this.#keeps(fault)) {
      records.take();
      return true;
    }
    const size =
      payload.to - payload.from + this.#common.length + frameBytesMax + (fault?.length ?? 0) * 4;
    if (builder.count > 0 && builder.byteLength + size > maxBytes) return false;
    const at = position.set(records.end, records.mark);
    if (fault === undefined) builder.appendLine(at, this.#common, payload);
    else this.#appendMalformed(at, fault);
    records.take();
    return true;
  }

  #appendMalformed(position: Uint8Array, fault: string): void {
    const { bytes, from, to } = this.#file.records;
    this.#builder.append({
      position,
      type: this.#partition.settings.type,
      headers: new Map([[errorHeader, fault]]),
      contentType: 'application/octet-stream',
      payload: bytes.subarray(from, to),
    });
  }

  /** What happens to a record that is none: kept, left out (false) or an error. Logs each power of ten of them. */
  #keeps(fault: string): boolean {
    const { path, settings, context } = this.#partition;
    const { start } = this.#file.records;
    if (settings.onMalformed === 'keep') return true;
    if (settings.onMalformed === 'fail') {
      throw fileError(
        path,
        `the record at byte ${start} ${fault}. Mend the file, or set onMalformed: keep or skip`,
      );
    }
    this.#malformed++;
    if (/^10*$/.test(String(this.#malformed)))
      context.logger.warn({ path, start, count: this.#malformed }, `left out a record: ${fault}`);
    return false;
  }

  async #atEnd(): Promise<'again' | 'idle' | 'end'> {
    const { blocks, records, isWaiting } = this.#file;
    if (this.#partition.settings.follow) return this.#follow();
    if (!isWaiting && records.finish()) return 'again';
    await blocks.assertUnchanged();
    return 'end';
  }

  /** Waits for more, or goes on with the file that has the name now once the one before it is silent. */
  async #follow(): Promise<'again' | 'idle'> {
    const { records, generation, isWaiting } = this.#file;
    const { clock } = this.#partition.context;
    const fate = await this.#fate();
    if (fate === 'cut') {
      await this.#restart();
      return 'again';
    }
    if (fate === 'same') {
      this.#rotatedAtMs = undefined;
      if (!isWaiting) return 'idle';
      await this.#goOn(this.#start(generation));
      return this.#file.isWaiting ? 'idle' : 'again';
    }
    this.#rotatedAtMs ??= clock.monotonicMs();
    if (clock.monotonicMs() - this.#rotatedAtMs < rotationQuietMs) return 'idle';
    if (!isWaiting && records.finish()) return 'again';
    await this.#goOn(this.#start(generation + 1));
    return 'again';
  }

  /** Before more is read of a file that was read to its end: whether what was read still stands in it. */
  async #assertUncut(): Promise<void> {
    this.#isIdle = false;
    if ((await this.#fate()) === 'cut') await this.#restart();
  }

  /** Goes on with the beginning of a file that was cut, where the settings allow it. */
  async #restart(): Promise<void> {
    const how = 'was cut after it had been read';
    await this.#goOn(restartOf(this.#partition, this.#file.generation, how));
  }

  #fate(): ReturnType<BlockReader['fate']> {
    const { blocks, records } = this.#file;
    return blocks.fate(records.markedBytes, records.mark);
  }

  #start(generation: number): FilePosition {
    return { generation, offset: 0, mark: 0 };
  }

  async #goOn(start: FilePosition): Promise<void> {
    const file = await openLines(this.#partition, start);
    if (typeof file === 'string') throw replacedError(this.#partition.path, file);
    await this.#file.blocks.close();
    this.#file = file;
    this.#rotatedAtMs = undefined;
  }
}
