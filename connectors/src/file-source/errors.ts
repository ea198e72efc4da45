// What can be wrong with a file, in the words an operator needs: which file, where in it, and the way out.

import { EtlError } from '@etl-router/core';

/** A failure of a file that trying again does not mend. */
export function fileError(path: string, what: string, cause?: unknown): EtlError {
  return new EtlError('ETL_CONNECTOR_FAILED', `${path}: ${what}`, {
    retryable: false,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** A failure of the file system: retryable, because files appear and disks come back. */
export function systemError(path: string, cause: unknown): EtlError {
  const { code = 'unknown' } = cause as NodeJS.ErrnoException;
  const what = code === 'ENOENT' ? 'does not exist' : `can not be read (${code})`;
  return new EtlError('ETL_CONNECTOR_FAILED', `${path}: ${what}`, { cause, retryable: true });
}

/** The file is not the one that was read before. */
export function replacedError(path: string, how: string): EtlError {
  return fileError(
    path,
    `${how}. Bring the file back as it was, or set onReplaced: restart to read this one from its beginning`,
  );
}
