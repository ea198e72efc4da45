// The promise itself, with real processes on the real disk: what was answered before SIGKILL is there afterwards.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import process from 'node:process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ManualClock, seededRandom, sleep, systemClock } from '@etl-router/core';
import { DataDirectory } from '../../src/storage/data-directory.ts';
import { Log } from '../../src/storage/log.ts';
import { nodeDisk } from '../../src/storage/node-disk.ts';

const child = fileURLToPath(new URL('./append-until-killed.ts', import.meta.url));
/** Of each of two members that run at once. */
const rounds = 12;

interface Life {
  readonly path: string;
  readonly together: number;
  /** It is killed this long after its first ten answers, however long a disk took for them. */
  readonly afterMs: number;
}

/** Starts the process and kills it. Returns what it printed. */
async function oneLife({ path, together, afterMs }: Life): Promise<readonly string[]> {
  const args = ['--conditions=etl-source', child, path, String(together)];
  const running = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(running, 'exit');
  let printed = '';
  let kill: Promise<void> | undefined;
  for await (const chunk of running.stdout.setEncoding('utf8')) {
    printed += chunk as string;
    if (printed.split('\n').length > 11)
      kill ??= sleep(systemClock, afterMs).then(() => void running.kill('SIGKILL'));
  }
  await kill;
  const [, signal] = (await exit) as [number | null, string | null];
  assert.equal(signal, 'SIGKILL', 'it lived until it was killed');
  return printed.slice(0, printed.lastIndexOf('\n')).split('\n');
}

function openForReading(directory: DataDirectory): Promise<Log> {
  const { clusterId, logId } = directory.identity;
  return Log.open({
    disk: nodeDisk,
    directory: directory.logDirectory,
    clusterId,
    logId,
    clock: new ManualClock(),
    create: false,
  });
}

/** Checks every answer of one life against the log it left. Returns how many there were. */
function checkAnswers(lines: readonly string[], log: Log): number {
  for (const line of lines) {
    const [index = 0, length = 0, term = 0] = line.split(' ').map(Number);
    assert.ok(index <= log.lastIndex, `${index} was answered; the log ends at ${log.lastIndex}`);
    if (index < log.firstIndex) continue;
    const [entry] = log.entries(index, index + 1, 0);
    assert.equal(entry?.data.length, length);
    assert.equal(entry?.term, term);
  }
  return lines.length;
}

/** Lives of one member, each ended by SIGKILL. */
async function liveAndDie(seed: number): Promise<void> {
  const path = await mkdtemp(`${tmpdir()}/etl-kill-`);
  const random = seededRandom(seed);
  let answered = 0;
  let term = 0;
  try {
    for (let round = 0; round < rounds; round++) {
      const together = [1, 4, 32][round % 3] as number;
      const lines = await oneLife({ path, together, afterMs: random.below(50) });
      const directory = await DataDirectory.open({ disk: nodeDisk, path, random, name: '1' });
      const log = await openForReading(directory);
      answered += checkAnswers(lines.slice(1), log);
      assert.ok(log.hardState.term > term, 'every start is a term of its own');
      term = log.hardState.term;
      await log.close();
      await directory.close();
    }
    assert.ok(answered >= rounds * 10, `${answered} answers`);
  } finally {
    await rm(path, { recursive: true });
  }
}

test('what was answered before SIGKILL is in the log after it', async () => {
  await Promise.all([liveAndDie(20_261_121), liveAndDie(7)]);
});

test('a data directory is refused to a second process, by the name of the first', async () => {
  const path = await mkdtemp(`${tmpdir()}/etl-lock-`);
  const args = ['--conditions=etl-source', child, path, '1'];
  const running = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(running, 'exit');
  const options = { disk: nodeDisk, path, random: seededRandom(1), name: '1' };
  try {
    await once(running.stdout, 'data');
    await assert.rejects(DataDirectory.open(options), {
      code: 'ETL_CONFLICT',
      message: new RegExp(`${path} is in use by process ${running.pid} on `),
    });
    running.kill('SIGKILL');
    await exit;
    const directory = await DataDirectory.open(options);
    await assert.rejects(DataDirectory.open(options), { code: 'ETL_CONFLICT' });
    await directory.close();
  } finally {
    running.kill('SIGKILL');
    await rm(path, { recursive: true });
  }
});
