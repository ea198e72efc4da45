// Whether a path is a file that can be read at all, said before a library says it obscurely.

import { stat } from 'node:fs/promises';
import { EtlError } from '@etl-router/core';

/** Throws ETL_CONNECTOR_FAILED that says what is wrong with the file. */
export async function assertRegularFile(path: string): Promise<void> {
  try {
    const info = await stat(path);
    if (info.isFile()) return;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const what = code === 'ENOENT' ? 'does not exist' : `can not be read (${code ?? 'unknown'})`;
    throw new EtlError('ETL_CONNECTOR_FAILED', `${path}: ${what}`, { cause, retryable: true });
  }
  throw new EtlError('ETL_CONNECTOR_FAILED', `${path}: is not a regular file`, {
    retryable: false,
  });
}
