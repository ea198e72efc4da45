// A service in a process of its own that is killed without a word, and one that is told to stop.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { isEtlError, sleep, systemClock } from '@etl-router/core';
import { GrpcTransform } from '@etl-router/sidecar';
import { batchOf, never, targetOf, valuesOf } from './fixture.ts';

const root = resolve(import.meta.dirname, '../..');
const script = join(root, 'examples/services/airport-enrichment.ts');

/** Starts the service; resolves when it says where it listens. */
async function start(
  t: TestContext,
  port: string,
): Promise<{ child: ChildProcess; address: string }> {
  const child = spawn(process.execPath, ['--conditions=etl-source', script], {
    cwd: root,
    env: { ...process.env, PORT: port },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  assert.ok(child.stderr !== null);
  const lines = createInterface(child.stderr);
  const address = await new Promise<string>((listens, ends) => {
    lines.on('line', (line) => {
      const log = JSON.parse(line) as { readonly address?: string };
      if (log.address !== undefined) listens(log.address);
    });
    child.once('exit', () => ends(new Error('the service ended before it listened')));
  });
  return { child, address };
}

const flights = (): ReturnType<typeof batchOf> =>
  batchOf([
    { origin: 'ABQ', destination: 'ORD', delay: 20 },
    { origin: 'BOS', destination: 'SEA', delay: 30 },
  ]);

test('the airport service answers, is killed, and answers again on its port', async (t) => {
  const first = await start(t, '0');
  const stage = await GrpcTransform.connect(targetOf(first.address));
  t.after(() => stage.close());
  const before = valuesOf((await stage.process(flights(), never)).batch);
  assert.deepEqual(before, [
    {
      origin: 'ABQ',
      destination: 'ORD',
      delay: 20,
      originName: 'Albuquerque International',
      originCity: 'Albuquerque',
      originState: 'NM',
      originKnown: true,
      destinationKnown: false,
    },
    {
      origin: 'BOS',
      destination: 'SEA',
      delay: 30,
      originKnown: false,
      destinationName: 'Seattle-Tacoma Intl',
      destinationCity: 'Seattle',
      destinationState: 'WA',
      destinationKnown: true,
    },
  ]);
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  await assert.rejects(stage.process(flights(), never), {
    code: 'ETL_UNAVAILABLE',
    retryable: true,
  });
  await start(t, first.address.split(':')[1] as string);
  for (;;) {
    try {
      const { batch } = await stage.process(flights(), never);
      assert.deepEqual(valuesOf(batch), before);
      break;
    } catch (error) {
      assert.ok(isEtlError(error) && error.code === 'ETL_UNAVAILABLE', String(error));
      await sleep(systemClock, 20);
    }
  }
});

test('SIGTERM ends a service with exit code 0', async (t) => {
  const { child } = await start(t, '0');
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exit, [0, null]);
});
