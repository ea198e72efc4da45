// Runs seeds in a thread of its own, one after the other, as it is told; whoever told it can end it at any moment.

import { parentPort } from 'node:worker_threads';
import type { Plan } from './faults.ts';
import type { Report } from './pool.ts';
import { runSeed } from './run.ts';

/** A seed to run. */
export interface Order {
  readonly seed: number;
  readonly keepsTrace: boolean;
  readonly plan: Plan;
}

process.on('unhandledRejection', (error) => {
  throw error;
});

parentPort?.postMessage('ready');
parentPort?.on('message', ({ seed, keepsTrace, plan }: Order) => {
  // Where an error was made is told of seeds that are looked at; refusals are many, and each would pay for it.
  Error.stackTraceLimit = keepsTrace ? 20 : 0;
  void runSeed(seed, { keepsTrace, plan }).then((result) => {
    const { violation, coverage, ...rest } = result;
    const report: Report = {
      ...rest,
      counts: coverage.counts,
      ...(violation && { violation: { oracle: violation.oracle, message: violation.message } }),
    };
    parentPort?.postMessage(report);
  });
});
