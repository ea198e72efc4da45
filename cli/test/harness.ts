// Runs etlctl in the test's own process with streams that are kept.

import { Readable } from 'node:stream';
import { ManualClock } from '@etl-router/core';
import type { Io } from '../src/io.ts';
import { run } from '../src/program.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line; standard input is `stdin`. */
export async function etlctl(
  args: readonly string[],
  stdin: string | Uint8Array = '',
  env: Io['env'] = {},
): Promise<Ran> {
  const texts = { out: '', err: '' };
  const code = await run(args, {
    ...testIo(stdin),
    out: (text) => {
      texts.out += text;
    },
    err: (text) => {
      texts.err += text;
    },
    env,
  });
  return { code, ...texts };
}

/** An outside that keeps nothing; its time stands at 2026-01-01. */
export function testIo(stdin: string | Uint8Array = ''): Io {
  return {
    out: () => {},
    err: () => {},
    stdin: Readable.from([Buffer.from(stdin)]),
    env: {},
    clock: new ManualClock(Date.parse('2026-01-01T00:00:00Z')),
    isTty: false,
    signal: new AbortController().signal,
  };
}
