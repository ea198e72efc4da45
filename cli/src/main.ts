#!/usr/bin/env node
// etlctl's process: streams, signals and the exit code. Everything else is in program.ts.

import { systemClock } from '@etl-router/core';
import type { Io } from './io.ts';
import { run } from './program.ts';

const interrupted = new AbortController();
let signalCode = 0;
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    signalCode = code;
    interrupted.abort(new Error(signal));
  });
}

// `etlctl get … | head` closes our output: that is no failure of ours. A full disk is one.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(
    `error: can not write to standard output (${error.code ?? error.message})\n`,
  );
  process.exit(1);
});
// Where words can not be written there is no one to tell; the exit code says the rest.
process.stderr.on('error', () => {});

const io: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  get stdin() {
    return process.stdin;
  },
  env: process.env,
  clock: systemClock,
  isTty: process.stdout.isTTY === true,
  signal: interrupted.signal,
};

const exitCode = await run(process.argv.slice(2), io);
process.exitCode = signalCode === 0 ? exitCode : signalCode;
