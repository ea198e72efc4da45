// What the tests of the log share: opening it small, and doing one thing after the other.

import { ManualClock } from '@etl-router/core';
import type { Disk } from '../../src/storage/disk.ts';
import { Log, type LogOptions } from '../../src/storage/log.ts';
import type { Entry, LogRecord } from '../../src/storage/log-types.ts';
import type { Step } from './log-twin.ts';

export const clusterId = 'test-cluster';
export const logId = 4_503_599_627_370_497;

/** Opens a log with segments small enough to be many. */
export function openLog(
  disk: Disk,
  directory: string,
  options: Partial<LogOptions> & { readonly create: boolean },
): Promise<Log> {
  return Log.open({
    disk,
    directory,
    clusterId,
    logId,
    clock: new ManualClock(),
    segmentBytes: 2048,
    allocateBytes: 512,
    ...options,
  });
}

export function append(log: Log, record: LogRecord): Promise<void> {
  return new Promise((resolve, reject) => {
    log.append(record, (error) => (error === undefined ? resolve() : reject(error)));
  });
}

export function compact(log: Log, index: number): Promise<void> {
  return new Promise((resolve, reject) => {
    log.compact(index, (error) => (error === undefined ? resolve() : reject(error)));
  });
}

export function take(log: Log, step: Step): Promise<void> {
  return step.kind === 'compact' ? compact(log, step.index) : append(log, step.record);
}

/** Entries of one term with the texts as data. */
export function entriesFrom(index: number, term: number, texts: readonly string[]): Entry[] {
  return texts.map((text, at) => ({
    index: index + at,
    term,
    type: 'normal',
    data: Buffer.from(text, 'utf8'),
  }));
}
