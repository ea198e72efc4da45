import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { allText } from './harness.ts';
import { committedSoFar, openOnDisk } from './on-disk.ts';

const program = fileURLToPath(new URL('./on-disk.ts', import.meta.url));

async function makeDirectory(context: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'etl-router-state-'));
  context.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Lets the program work until it has promised `count` commits, kills it, and says the last promise that came. */
async function workAndKill(directory: string, count: number): Promise<number> {
  const child = spawn(process.execPath, ['--conditions=etl-source', program, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = once(child, 'exit');
  let promised = 0;
  let lines = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    promised = Number(line);
    lines += 1;
    if (lines === count) child.kill('SIGKILL');
  }
  const [code, signal] = (await gone) as [number | null, string | null];
  assert.equal(signal, 'SIGKILL', `the program ended by itself with ${code}`);
  return promised;
}

test('what was promised is there after kill -9, again and again, and the rows are those of a full replay', async (context) => {
  const directory = await makeDirectory(context);
  let promised = 0;
  for (let round = 0; round < 3; round++) {
    const before = promised;
    promised = await workAndKill(directory, 40);
    assert(promised > before, 'the next run goes on where the last one stood');
    const fromRows = await openOnDisk(directory);
    assert(committedSoFar(fromRows.router) >= promised);
    assert.equal(fromRows.router.sidecars.assignment('shop/orders')?.sidecarId, 'shop/pod');
    const digest = fromRows.host.digest();
    await fromRows.close();

    await rm(join(directory, 'applied'), { recursive: true });
    const fromLog = await openOnDisk(directory);
    assert.equal(fromLog.host.digest(), digest);
    await fromLog.close();
  }
});

test('a closed router opens with the same state and goes on with higher revisions', async (context) => {
  const directory = await makeDirectory(context);
  const first = await openOnDisk(directory);
  await first.router.objects.applyText(allText);
  const { revision } = first.router;
  const digest = first.host.digest();
  await first.close();
  const second = await openOnDisk(directory);
  assert.equal(second.host.digest(), digest);
  assert.equal(second.router.revision, revision);
  const changed = await second.router.objects.applyText(allText.replace('in.jsonl', 'new.jsonl'));
  assert.equal(changed.outcomes[1]?.object?.resourceVersion, revision + 1);
  await second.close();
});
