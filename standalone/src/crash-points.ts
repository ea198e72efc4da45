// Lets the crash harness end this process at a named place: ETL_CRASH_AT=NAME:N kills it with SIGKILL at the N-th hit.

import { EtlError } from '@etl-router/core';
import {
  type FailpointName,
  type Failpoints,
  failpointNames,
  noFailpoints,
} from '@etl-router/sidecar';

/** The failpoints that the variable asks for. Throws ETL_CONFIG_INVALID for a name that does not exist. */
export function readCrashPoint(text: string | undefined): Failpoints {
  if (text === undefined || text === '') return noFailpoints;
  const [name, count = '1'] = text.split(':');
  const at = failpointNames.find((known) => known === name);
  const hits = /^[1-9]\d{0,8}$/.test(count) ? Number(count) : Number.NaN;
  if (at === undefined || Number.isNaN(hits)) {
    throw new EtlError(
      'ETL_CONFIG_INVALID',
      `ETL_CRASH_AT: needs NAME:N with a name of ${failpointNames.join(', ')}, not ${JSON.stringify(text)}`,
    );
  }
  return crashAt(at, hits);
}

function crashAt(at: FailpointName, hits: number): Failpoints {
  let left = hits;
  return {
    hit: (name) => {
      if (name !== at || --left > 0) return;
      process.kill(process.pid, 'SIGKILL');
    },
  };
}
