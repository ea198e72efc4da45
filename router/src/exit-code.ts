// How a router's process ends, so that whoever restarts it knows which restarts are of use.

import type { EtlError } from '@etl-router/core';
import { configExitCode } from './config/read-config.ts';

/** What is stored is damaged (EX_DATAERR): no restart helps, the member is replaced under a new id or restored. */
export const damagedExitCode = 65;

/** The exit code of a process that ends with this error. */
export function exitCodeOf({ code }: EtlError): number {
  if (code === 'ETL_CONFIG_INVALID' || code === 'ETL_UNSUPPORTED') return configExitCode;
  return code === 'ETL_STORAGE_CORRUPT' ? damagedExitCode : 1;
}
