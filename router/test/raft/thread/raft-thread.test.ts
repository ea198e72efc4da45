import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError } from '@etl-router/core';
import type { Proposed } from '../../../src/consensus/consensus.ts';
import { outcomeOf } from '../../../src/consensus/outcome.ts';
import { nodeId, startBothEnds } from './both-ends.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');
const learner = { id: 5, name: 'five', address: '10.0.0.5:50052' };

async function errorOf(call: Promise<unknown>): Promise<EtlError> {
  const error: unknown = await call.then(
    () => assert.fail('the call did not fail'),
    (reason: unknown) => reason,
  );
  assert(error instanceof EtlError, String(error));
  return error;
}

test('commands are applied in the order they were proposed in, each answered with its own result', async (t) => {
  const { thread, state } = await startBothEnds(t);
  const texts = Array.from({ length: 1500 }, (_, at) => `${at}`.repeat((at % 7) + 1));
  const answers = await Promise.all(texts.map((text) => thread.propose(bytes(text))));
  assert.deepEqual(state.commands, texts);
  for (const [at, { index, term, result }] of answers.entries()) {
    assert.deepEqual([index, term], [(answers[0] as Proposed).index + at, 2]);
    assert.deepEqual([...result], [(texts[at] as string).length]);
  }
  await thread.close();
});

test('a status is never older than the answer that was given before', async (t) => {
  const { thread } = await startBothEnds(t);
  const { role, term, leaderId } = thread.status();
  assert.deepEqual([role, term, leaderId, thread.leads], ['leader', 2, nodeId, true]);
  for (let at = 0; at < 20; at++) {
    const { index } = await thread.propose(bytes('a'));
    const { commitIndex, lastApplied, lastIndex } = thread.status();
    assert(commitIndex >= index && lastApplied >= index && lastIndex >= index);
  }
  const steps = [{ step: 'addLearner', ...learner }] as const;
  const membership = await thread.changeMembers({ steps, autoLeave: true });
  assert.deepEqual(membership.configuration.learners, [5]);
  assert.deepEqual(thread.membership, membership);
  assert.deepEqual(
    thread.progress.map(({ id }) => id),
    [nodeId, 5],
  );
  assert.equal(await thread.readIndex(), thread.status().commitIndex);
});

test('what is proposed in one turn goes in one message, and what nobody waits for once a tick', async (t) => {
  const { thread, messages, clock, delays } = await startBothEnds(t);
  const before = messages();
  await Promise.all(Array.from({ length: 100 }, () => thread.propose(bytes('a'))));
  assert(messages() - before <= 3, `${messages() - before} messages for one write`);
  await clock.advanceAsync(5000, 50);
  await thread.readIndex();
  assert.deepEqual(delays, [{ p99Ms: 1, maxMs: 2 }]);
});

test('errors cross with code, details and what is behind them', async (t) => {
  const { thread } = await startBothEnds(t);
  const steps = [{ step: 'addLearner', ...learner, name: 'not a name' }] as const;
  const refused = await errorOf(thread.changeMembers({ steps, autoLeave: true }));
  assert.equal(refused.code, 'ETL_INVALID_ARGUMENT');
  assert.match(refused.message, /^members: name: /);
  const empty = await errorOf(thread.propose(new Uint8Array(0)));
  assert.deepEqual([empty.code, outcomeOf(empty)], ['ETL_INVALID_ARGUMENT', 'refused']);
  const nobody = await errorOf(thread.transferTo(9));
  assert.match(nobody.message, /member 9 is no other voter/);
});

test('a command that is handed over by another member is answered with its result', async (t) => {
  const { node, state } = await startBothEnds(t);
  const { result } = await node.receiver.propose(bytes('four'), {});
  assert.deepEqual([...result], [4]);
  assert.deepEqual(state.commands, ['four']);
});

test('a caller that leaves is told why at once; what is in the log takes effect', async (t) => {
  const { thread, state } = await startBothEnds(t);
  const gate = Promise.withResolvers<void>();
  state.before = () => gate.promise;
  const caller = new AbortController();
  const left = errorOf(thread.propose(bytes('a'), { signal: caller.signal }));
  const slow = errorOf(thread.propose(bytes('b'), { signal: AbortSignal.timeout(1) }));
  const stays = thread.propose(bytes('c'));
  await thread.changeMembers({ steps: [], autoLeave: true }).catch(() => undefined);
  caller.abort();
  const [cancelled, late] = [await left, await slow];
  assert.deepEqual([cancelled.code, outcomeOf(cancelled)], ['ETL_CANCELLED', 'unknown']);
  assert.deepEqual([late.code, outcomeOf(late)], ['ETL_TIMEOUT', 'unknown']);
  gate.resolve();
  await stays;
  assert.deepEqual(state.commands, ['a', 'b', 'c']);
  const early = new AbortController();
  const never = errorOf(thread.propose(bytes('d'), { signal: early.signal }));
  early.abort();
  assert.equal((await never).code, 'ETL_CANCELLED');
  const before = errorOf(thread.propose(bytes('e'), { signal: early.signal }));
  assert.deepEqual([(await before).code, outcomeOf(await before)], ['ETL_CANCELLED', 'refused']);
  await thread.propose(bytes('f'));
  assert.deepEqual(state.commands, ['a', 'b', 'c', 'f']);
  assert.equal(thread.status().pendingProposals, 0);
});

test('more than the bounds is refused before it is sent', async (t) => {
  const { thread, state } = await startBothEnds(t);
  const gate = Promise.withResolvers<void>();
  state.before = () => gate.promise;
  const waiting = Array.from({ length: 4096 }, () => thread.propose(bytes('a')));
  const refused = await errorOf(thread.propose(bytes('a')));
  assert.deepEqual(
    [refused.code, refused.retryable, outcomeOf(refused)],
    ['ETL_LIMIT_EXCEEDED', true, 'refused'],
  );
  gate.resolve();
  await Promise.all(waiting);
  await thread.propose(bytes('b'));
});

test('an error of the disk ends it, and everything that waits is told', async (t) => {
  const disk = { isBroken: false };
  const { thread } = await startBothEnds(t, {
    fault: ({ kind }) => (disk.isBroken && kind === 'sync' ? 'EIO' : undefined),
  });
  const leads: boolean[] = [];
  thread.watchLeadership((isLeader) => leads.push(isLeader));
  disk.isBroken = true;
  const error = await errorOf(thread.propose(bytes('a')));
  assert.deepEqual([error.code, outcomeOf(error)], ['ETL_STORAGE_FAILED', 'unknown']);
  assert.equal((await thread.failed).code, 'ETL_STORAGE_FAILED');
  assert.deepEqual([thread.status().role, leads], ['failed', [false]]);
  assert.equal(thread.status().failure?.code, 'ETL_STORAGE_FAILED');
  assert.equal((await errorOf(thread.readIndex())).code, 'ETL_STORAGE_FAILED');
  await thread.close().catch(() => undefined);
});

test('an error of the state ends it with that error', async (t) => {
  const { thread, state } = await startBothEnds(t);
  state.before = () =>
    Promise.reject(
      new EtlError('ETL_UNSUPPORTED', 'of a later release', { details: { version: 9 } }),
    );
  const error = await errorOf(thread.propose(bytes('a')));
  assert.equal(error.code, 'ETL_UNSUPPORTED');
  const { message, details } = await thread.failed;
  assert.deepEqual([message, details], ['of a later release', { version: 9 }]);
});

test('a thread that dies fails the member, and leaves nobody waiting', async (t) => {
  const { thread, state, die } = await startBothEnds(t);
  state.before = () => new Promise(() => undefined);
  const leads: boolean[] = [];
  thread.watchLeadership((isLeader) => leads.push(isLeader));
  const calls = [thread.propose(bytes('a')), thread.readIndex(), thread.transferTo(nodeId + 1)];
  const errors = Promise.all(calls.map(errorOf));
  die(new EtlError('ETL_INTERNAL', 'the thread ended'));
  for (const error of await errors) assert.equal(error.message, 'the thread ended');
  assert.equal((await thread.failed).message, 'the thread ended');
  assert.deepEqual([thread.status().role, leads], ['failed', [false]]);
  await thread.close();
});

test('close answers what was proposed before, and refuses the rest', async (t) => {
  const { thread, state } = await startBothEnds(t);
  const before = ['a', 'b', 'c'].map((text) => thread.propose(bytes(text)));
  const closing = thread.close();
  const after = await errorOf(thread.propose(bytes('d')));
  assert.deepEqual([after.code, outcomeOf(after)], ['ETL_CANCELLED', 'refused']);
  await Promise.all(before);
  await closing;
  assert.deepEqual(state.commands, ['a', 'b', 'c']);
  assert.equal(thread.status().role, 'closed');
});

test('a snapshot is made by the state, which knows the one that the log names', async (t) => {
  const { thread, state, facts, node } = await startBothEnds(t, { snapshotInterval: 10 });
  for (let at = 0; at < 25; at++) await thread.propose(bytes('a'));
  assert(state.snapshots.length >= 2);
  const [first] = state.snapshots;
  assert.deepEqual(facts.snapshot, first, 'as of the second one');
  assert(node.status().snapshotIndex >= (first?.index ?? 0));
});

test('a state that stands still is handed one batch, and the rest from the log once that is applied', async (t) => {
  const { thread, state, node } = await startBothEnds(t);
  const held = Promise.withResolvers<void>();
  const handed: { readonly count: number; readonly bytes: number }[] = [];
  state.before = async (entries) => {
    const size = entries.reduce((sum, { data }) => sum + data.length, 0);
    handed.push({ count: entries.length, bytes: size });
    await held.promise;
  };
  const commands = Array.from({ length: 1200 }, () => new Uint8Array(30_000));
  const before = node.status().commitIndex;
  const answers = commands.map((command) => thread.propose(command));
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  while (node.status().commitIndex < before + commands.length || handed.length === 0) await turn();
  for (let turns = 0; turns < 20; turns++) await turn();
  assert.equal(handed.length, 1);
  held.resolve();
  await Promise.all(answers);
  assert.equal(
    handed.reduce((sum, { count }) => sum + count, 0),
    commands.length,
  );
  for (const { count, bytes: size } of handed) assert.ok(count <= 512 && size <= 4 * 1024 * 1024);
  await thread.close();
});
