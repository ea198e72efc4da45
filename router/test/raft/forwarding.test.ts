// Commands that one member hands to another: where they end up, what is said of those that fail, and that nothing is
// sent twice unless nobody took it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError, isEtlError, ManualClock } from '@etl-router/core';
import type { Proposed } from '../../src/consensus/consensus.ts';
import {
  type Outcome,
  outcomeOf,
  unknownOutcome,
  withOutcome,
} from '../../src/consensus/outcome.ts';
import { type Forwarder, Forwarding } from '../../src/raft/forwarding.ts';
import { NodeCluster } from './nodes.ts';

const set = (key: string, value: string): Uint8Array => Buffer.from(`set ${key} ${value}`);

async function failureOf(work: Promise<unknown>): Promise<readonly [string, Outcome | undefined]> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert(isEtlError(error));
  return [error.code, outcomeOf(error)];
}

test('a proposal on any member takes effect on all, and is applied where it was made', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3], { forwards: true });
  const leader = await cluster.leader();
  for (const id of [1, 2, 3]) {
    const { index, result } = await cluster.during(cluster.node(id).propose(set('a', String(id))));
    assert.deepEqual(cluster.member(id).machine.sorted, [`a=${id}`]);
    assert(cluster.node(id).status().lastApplied >= index);
    assert.notEqual(result.length, 0, 'the leader answers for the state');
  }
  assert.equal(cluster.forwarded, 2);
  assert.equal(await cluster.leader(), leader);
});

test('a member that was handed a command hands it to nobody', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3], { forwards: true });
  const leader = await cluster.leader();
  const follower = leader === 1 ? 2 : 1;
  const { receiver } = cluster.node(follower);
  await assert.rejects(receiver.propose(set('a', '1'), {}), {
    code: 'ETL_NOT_LEADER',
    details: { leader, outcome: 'refused' },
  });
  assert.equal(cluster.forwarded, 0);
});

test('a command waits for the next leader, and takes effect once', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3], { forwards: true });
  const leader = await cluster.leader();
  const follower = leader === 1 ? 2 : 1;
  cluster.isolate(leader);
  const { term } = await cluster.during(cluster.node(follower).propose(set('a', '1')));
  assert(term > cluster.node(leader).status().term - 1);
  cluster.heal();
  await cluster.pass(3000);
  for (const { machine } of cluster.members.values()) assert.deepEqual(machine.sorted, ['a=1']);
});

test('without a leader a command is refused in time, and never takes effect', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3], { forwards: true });
  const leader = await cluster.leader();
  const follower = leader === 1 ? 2 : 1;
  for (const id of [1, 2, 3]) cluster.isolate(id);
  const startMs = cluster.clock.monotonicMs();
  const failure = await cluster.during(failureOf(cluster.node(follower).propose(set('a', '1'))));
  assert.deepEqual(failure, ['ETL_UNAVAILABLE', 'refused']);
  assert(cluster.clock.monotonicMs() - startMs <= 5000);
  cluster.heal();
  await cluster.leader();
  await cluster.pass(3000);
  assert.deepEqual(cluster.member(follower).machine.sorted, []);
});

test('a read of a member that is cut off ends in time, also where elections are slow', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3], { forwards: true, electionMs: 4000 });
  const leader = await cluster.leader();
  const follower = leader === 1 ? 2 : 1;
  cluster.isolate(follower);
  await cluster.during(cluster.node(leader).propose(set('a', '1')));
  const startMs = cluster.clock.monotonicMs();
  await assert.rejects(cluster.during(cluster.node(follower).readIndex()), {
    code: 'ETL_UNAVAILABLE',
    retryable: true,
    message: /try again, or ask for a stale read/,
  });
  assert(cluster.clock.monotonicMs() - startMs <= 5000);
  assert.deepEqual(cluster.member(follower).machine.sorted, [], 'what it knows is stale');
  cluster.heal();
  await cluster.during(cluster.node(follower).readIndex());
  assert.deepEqual(cluster.member(follower).machine.sorted, ['a=1']);
});

test('a leader that is cut off says in time that it does not know what became of a command', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3], { forwards: true });
  const leader = await cluster.leader();
  cluster.isolate(leader);
  const startMs = cluster.clock.monotonicMs();
  const failure = await cluster.during(failureOf(cluster.node(leader).propose(set('a', '1'))));
  assert.deepEqual(failure, ['ETL_UNAVAILABLE', 'unknown']);
  assert(cluster.clock.monotonicMs() - startMs <= 10_000);
  assert.equal(cluster.node(leader).status().pendingProposals, 0);
});

test('a command whose answer was lost took effect, and is not sent again', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3], { forwards: true });
  const leader = await cluster.leader();
  const follower = leader === 1 ? 2 : 1;
  cluster.losesAnswers = true;
  const failure = await cluster.during(failureOf(cluster.node(follower).propose(set('a', '1'))));
  assert.deepEqual(failure, ['ETL_UNAVAILABLE', 'unknown']);
  await cluster.pass(1000);
  assert.equal(cluster.forwarded, 1);
  assert.deepEqual(cluster.member(follower).machine.sorted, ['a=1']);
});

test('a command that is handed over is stamped by who takes it', async (t) => {
  const restamp = (command: Uint8Array): Uint8Array => {
    if (command.length > 20) throw new EtlError('ETL_INVALID_ARGUMENT', 'command: is no proposal');
    return Buffer.from(`${Buffer.from(command).toString()}!`);
  };
  const cluster = await NodeCluster.found(t, [1, 2, 3], { forwards: true, restamp });
  const leader = await cluster.leader();
  const follower = leader === 1 ? 2 : 1;
  await cluster.during(cluster.node(leader).propose(set('a', '1')));
  await cluster.during(cluster.node(follower).propose(set('b', '2')));
  assert.deepEqual(cluster.member(follower).machine.sorted, ['a=1', 'b=2!']);
  const long = cluster.node(follower).propose(set('c', 'x'.repeat(30)));
  assert.deepEqual(await cluster.during(failureOf(long)), ['ETL_INVALID_ARGUMENT', 'refused']);
});

const answer: Proposed = { index: 7, term: 2, result: Buffer.from('done') };

interface Bench {
  readonly clock: ManualClock;
  readonly forwarding: Forwarding;
  /** Whom a command was handed to, 0 for the own log. */
  readonly asked: number[];
  /** Whom the forwarder was told to follow. */
  readonly followed: number[];
}

/** Member 1 of three, of which 2 leads; others answer as `forward` says. */
function bench(
  forward: Forwarder['forward'],
  applied: (index: number, signal: AbortSignal) => Promise<void> = () => Promise.resolve(),
): Bench {
  const clock = new ManualClock();
  const asked: number[] = [];
  const followed: number[] = [];
  const forwarding = new Forwarding({
    self: 1,
    forwarder: {
      forward: (to, command, options) => {
        asked.push(to);
        return forward(to, command, options);
      },
      follow: (leader) => followed.push(leader),
    },
    here: () => {
      asked.push(0);
      return Promise.reject(
        withOutcome(new EtlError('ETL_UNAVAILABLE', 'no leader is known'), 'refused'),
      );
    },
    applied,
    onAnswered: () => undefined,
    restamp: undefined,
    clock,
    waitMs: 3000,
    bounds: { maxCount: 2, maxBytes: 100 },
  });
  forwarding.note(2);
  return { clock, forwarding, asked, followed };
}

function notLeader(leader: number): EtlError {
  return new EtlError('ETL_NOT_LEADER', `member ${leader} leads`, {
    details: { leader, outcome: 'refused' },
  });
}

test('the hint of a member that does not lead is followed', async () => {
  const { forwarding, asked } = bench(async (to) => {
    if (to !== 3) throw notLeader(3);
    return answer;
  });
  assert.equal(await forwarding.propose(Buffer.from('a'), {}), answer);
  assert.deepEqual(asked, [2, 3]);
});

test('members that name each other are asked a bounded number of times', async () => {
  const { forwarding, asked, clock } = bench(async (to) => {
    throw notLeader(to === 2 ? 3 : 2);
  });
  const failure = failureOf(forwarding.propose(Buffer.from('a'), {}));
  await clock.advanceAsync(3000, 50);
  assert.deepEqual(await failure, ['ETL_NOT_LEADER', 'refused']);
  assert(asked.length > 3 && asked.length <= 17 * 3, `asked ${asked.length} times`);
});

test('the forwarder hears of every change of leader, and of the times without one', () => {
  const { forwarding, followed } = bench(() => Promise.resolve(answer));
  for (const leader of [2, 0, 2, 2, 3, 1]) forwarding.note(leader);
  assert.deepEqual(followed, [2, 0, 2, 3, 1]);
});

test('a leader that comes is asked at once', async () => {
  const { forwarding, asked, clock } = bench(async (to) => {
    if (to === 2) throw notLeader(0);
    return answer;
  });
  const proposed = forwarding.propose(Buffer.from('a'), {});
  await clock.advanceAsync(10);
  forwarding.note(3);
  assert.equal(await proposed, answer);
  assert.deepEqual(asked, [2, 3]);
});

test('what may have taken effect, or is refused for good, is told at once', async () => {
  for (const error of [
    unknownOutcome('the connection broke'),
    withOutcome(new EtlError('ETL_LIMIT_EXCEEDED', 'too many'), 'refused'),
    withOutcome(new EtlError('ETL_INVALID_ARGUMENT', 'no command'), 'refused'),
  ]) {
    const { forwarding, asked } = bench(() => Promise.reject(error));
    assert.deepEqual(await failureOf(forwarding.propose(Buffer.from('a'), {})), [
      error.code,
      outcomeOf(error),
    ]);
    assert.deepEqual(asked, [2]);
  }
});

test('what waits is bounded in number and bytes', async () => {
  const { forwarding, clock } = bench(() => new Promise(() => undefined));
  const limit = ['ETL_LIMIT_EXCEEDED', 'refused'];
  assert.deepEqual(await failureOf(forwarding.propose(Buffer.alloc(101), {})), limit);
  void forwarding.propose(Buffer.alloc(50), {});
  assert.deepEqual(await failureOf(forwarding.propose(Buffer.alloc(51), {})), limit);
  void forwarding.propose(Buffer.alloc(1), {});
  assert.deepEqual(await failureOf(forwarding.propose(Buffer.alloc(1), {})), limit);
  await clock.advanceAsync(0);
});

test('a caller that leaves while it waits leaves no command behind', async () => {
  const { forwarding, asked } = bench(() => Promise.reject(notLeader(0)));
  forwarding.note(0);
  const gone = new AbortController();
  const failure = failureOf(forwarding.propose(Buffer.from('a'), { signal: gone.signal }));
  await Promise.resolve();
  gone.abort();
  assert.deepEqual(await failure, ['ETL_CANCELLED', 'refused']);
  forwarding.note(2);
  assert.deepEqual(asked, [0]);
});

test('what waits when the member ends is told so at once', async () => {
  const { forwarding, asked } = bench(() => Promise.reject(notLeader(0)));
  const failure = failureOf(forwarding.propose(Buffer.from('a'), {}));
  await new Promise((resolve) => setImmediate(resolve));
  forwarding.end(new EtlError('ETL_CANCELLED', 'the router is shutting down'));
  assert.deepEqual(await failure, ['ETL_CANCELLED', 'refused']);
  assert.deepEqual(asked, [2]);
});

test('a member that lags says that the command took effect elsewhere', async () => {
  const never = (_: number, signal: AbortSignal): Promise<void> =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
  const { forwarding, clock } = bench(() => Promise.resolve(answer), never);
  const failure = failureOf(forwarding.propose(Buffer.from('a'), {}));
  await clock.advanceAsync(6000, 500);
  assert.deepEqual(await failure, ['ETL_UNAVAILABLE', 'applied']);
});
