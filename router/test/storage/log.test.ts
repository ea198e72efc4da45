import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { seededRandom } from '@etl-router/core';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { nodeDisk } from '../../src/storage/node-disk.ts';
import { logContract } from './log-contract.ts';

logContract(
  'the machine\u2019s disk',
  async () => {
    const directory = await mkdtemp(`${tmpdir()}/etl-log-`);
    return {
      disk: nodeDisk,
      directory: `${directory}/log`,
      dispose: () => rm(directory, { recursive: true }),
    };
  },
  20,
);

logContract(
  'a disk in memory',
  () =>
    Promise.resolve({
      disk: new MemoryDisk({ random: seededRandom(1) }),
      directory: '/data/log',
      dispose: () => Promise.resolve(),
    }),
  200,
);

logContract(
  'a disk that takes its time',
  () => {
    const random = seededRandom(2);
    const schedule = (_: unknown, complete: () => void): void => {
      const turns = random.below(3);
      if (turns === 0) complete();
      else if (turns === 1) queueMicrotask(complete);
      else setImmediate(complete);
    };
    return Promise.resolve({
      disk: new MemoryDisk({ random, schedule }),
      directory: '/data/log',
      dispose: () => Promise.resolve(),
    });
  },
  100,
);
