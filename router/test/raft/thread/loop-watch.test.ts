import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LoopWatch } from '../../../src/raft/thread/loop-watch.ts';

/** The loop turns freely for so long. */
async function turnFor(ms: number): Promise<void> {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs) await new Promise((resolve) => setImmediate(resolve));
}

test('a thread that was held is told as late by about as long, and once only', async (t) => {
  const watch = new LoopWatch();
  t.after(() => watch.close());
  await turnFor(150);
  const heldMs = 400;
  const endMs = performance.now() + heldMs;
  while (performance.now() < endMs);
  await turnFor(150);
  const { p99Ms, maxMs } = watch.take();
  assert(maxMs >= heldMs - 100 && p99Ms >= heldMs - 100, `${p99Ms}, ${maxMs}`);
  await turnFor(150);
  const { maxMs: after } = watch.take();
  assert(after < heldMs / 2, `${after}`);
});
