// What the lanes of all formats have in common: which file, from where, and what becomes of a file that is another one now.

import { EtlError, type OpenPartitionRequest, type StageContext } from '@etl-router/core';
import { replacedError } from './errors.ts';
import { type FilePosition, parseFilePosition } from './position.ts';
import type { FileSourceSettings } from './settings.ts';

export interface FilePartition {
  /** Where the file is. */
  readonly path: string;
  readonly settings: FileSourceSettings;
  readonly request: OpenPartitionRequest;
  readonly context: StageContext;
}

/** Where the lane stands. Throws ETL_INVALID_ARGUMENT for a position that is none of a file. */
export function startOf({ path, request }: FilePartition): FilePosition | undefined {
  if (request.after === undefined) return undefined;
  const position = parseFilePosition(request.after);
  if (position !== undefined) return position;
  throw new EtlError('ETL_INVALID_ARGUMENT', `${path}: the position is not one of this source`);
}

/** What becomes of a file that is not the one the position is of: read as the next generation, or an error. */
export function restartOf(
  { path, settings, context }: FilePartition,
  generation: number,
  how: string,
): FilePosition {
  if (settings.onReplaced === 'fail') throw replacedError(path, how);
  context.logger.warn({ path }, `${how}; it is read from its beginning`);
  return { generation: generation + 1, offset: 0, mark: 0 };
}
