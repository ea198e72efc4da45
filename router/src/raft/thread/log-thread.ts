// Where the log's thread begins: core, log and network of a member, and nothing of the state or the interfaces above.

import { parentPort, workerData } from 'node:worker_threads';
import { assert, createRelayLogger, seededRandom, systemClock } from '@etl-router/core';
import { LogHost } from './log-host.ts';
import { LoopWatch } from './loop-watch.ts';
import { openMember } from './member.ts';
import type { ThreadOptions } from './thread-options.ts';

assert(parentPort !== null, 'this file runs as a thread');
const options = workerData as ThreadOptions;
const clock = systemClock;
const random = seededRandom(options.seed);
const delays = new LoopWatch();
const host = new LogHost({
  port: parentPort,
  clock,
  tickMs: options.heartbeatMs / 2,
  openMember: (surroundings, signal) =>
    openMember({ ...surroundings, options, clock, random, logger }, signal),
  takeDelay: () => delays.take(),
});
const logger = createRelayLogger(options.logLevel, (line) => host.line.tell('logged', line));
