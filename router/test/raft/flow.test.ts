// How fast a leader sends to each member: probe, replicate, snapshot, and the bounds of each (thesis 10.2, 3.5).

import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { maxAppendEntries } from '../../src/raft/check-message.ts';
import type { RaftOptions } from '../../src/raft/core-state.ts';
import type { Message } from '../../src/raft/messages.ts';
import type { Member } from './member.ts';
import { Network } from './network.ts';
import { beatReply, lead, one, only, refused, taken } from './says.ts';

function command(bytes = 1): Uint8Array {
  return new Uint8Array(bytes).fill(97);
}

function propose(member: Member, count = 1): readonly Message[] {
  for (let at = 0; at < count; at++) member.raft.propose([command()]);
  return member.drain();
}

/** A leader of three to whom 2 and 3 have attested its first entry. */
function leader(options: Partial<RaftOptions> = {}): Member {
  const member = one(3, options);
  lead(member);
  for (const from of [2, 3]) member.raft.step(taken({ from, to: 1, term: 1 }, 1));
  member.drain();
  return member;
}

function stateOf(member: Member, id: number): string | undefined {
  return member.raft.status().progress.find((each) => each.id === id)?.state;
}

test('a new leader probes with one append, and goes on when it is answered', () => {
  const member = one(3);
  lead(member);
  deepEqual(only(propose(member, 3), 'appendEntries'), []);
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 1));
  const sent = only(member.drain(), 'appendEntries').filter(({ to }) => to === 2);
  deepEqual(
    sent.flatMap(({ entries }) => entries.map(({ index }) => index)),
    [2, 3, 4],
  );
  equal(stateOf(member, 2), 'replicate');
});

test('a probe that was lost is sent again with the answer to a heartbeat', () => {
  const member = one(3);
  lead(member);
  member.raft.step(beatReply({ from: 2, to: 1, term: 1 }));
  const sent = only(member.drain(), 'appendEntries');
  deepEqual(
    sent.map(({ to, entries }) => [to, entries.length]),
    [[2, 1]],
  );
});

test('appends go out without waiting until the window is full, and answers open it', () => {
  const member = leader({ inflight: { maxMessages: 3, maxBytes: 1000 } });
  const to2 = (messages: readonly Message[]): readonly number[] =>
    only(messages, 'appendEntries').flatMap(({ to, entries }) =>
      to === 2 ? [entries.length] : [],
    );
  deepEqual(to2(propose(member, 5)), [1, 1, 1]);
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 2));
  deepEqual(to2(member.drain()), [2]);
  // An answer that was known opens nothing.
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 2));
  deepEqual(to2(propose(member)), []);
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 4));
  deepEqual(to2(member.drain()), [1]);
});

test('the window is bounded in bytes too', () => {
  const member = leader({ inflight: { maxMessages: 100, maxBytes: 250 } });
  const counts: number[] = [];
  for (let at = 0; at < 5; at++) {
    member.raft.propose([command(100)]);
    counts.push(only(member.drain(), 'appendEntries').filter(({ to }) => to === 2).length);
  }
  deepEqual(counts, [1, 1, 1, 0, 0]);
});

test('a full window whose appends were lost is found by a heartbeat and sent again', () => {
  const network = Network.of([1, 2, 3], {
    random: () => 0,
    inflight: { maxMessages: 2, maxBytes: 1000 },
  });
  network.elect(1);
  network.isolate(3);
  for (let at = 0; at < 6; at++) {
    network.member(1).raft.propose([command()]);
    network.settle();
  }
  equal(network.member(3).log.lastIndex, 1);
  network.heal();
  network.tick(3);
  equal(network.member(3).log.lastIndex, 7);
  equal(network.member(3).raft.commitIndex, 7);
});

test('a message that was lost for certain makes the leader probe', () => {
  const member = leader();
  propose(member, 2);
  member.raft.reportUnreachable(2);
  equal(stateOf(member, 2), 'probe');
  member.raft.step(beatReply({ from: 2, to: 1, term: 1 }));
  deepEqual(
    only(member.drain(), 'appendEntries').flatMap(({ entries }) =>
      entries.map(({ index }) => index),
    ),
    [2, 3],
  );
});

test('a refusal while replicating makes the leader probe from what is known to be held', () => {
  const member = leader();
  propose(member, 2);
  member.raft.step(refused({ from: 2, to: 1, term: 1 }, 2, 1, 1));
  const [sent] = only(member.drain(), 'appendEntries');
  deepEqual([sent?.previousIndex, sent?.entries.length], [1, 2]);
  equal(stateOf(member, 2), 'probe');
});

test('an append has the bytes that are allowed, or one entry', () => {
  const member = one(2, { maxAppendBytes: 250 });
  lead(member);
  member.raft.propose([100, 100, 100, 400, 10].map(command));
  member.drain();
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 1));
  deepEqual(
    only(member.drain(), 'appendEntries').map(({ entries }) => entries.length),
    [2, 1, 1, 1],
  );
});

test('an append has no more entries than a peer takes', () => {
  const member = one(2);
  lead(member);
  member.raft.propose(Array.from({ length: maxAppendEntries + 10 }, () => command()));
  member.drain();
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 1));
  deepEqual(
    only(member.drain(), 'appendEntries').map(({ entries }) => entries.length),
    [maxAppendEntries, 10],
  );
});

test('an answer that brings nothing to send or to tell is not answered', () => {
  const member = leader();
  propose(member);
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 2));
  // Both are told once that the entry is committed.
  deepEqual(
    only(member.drain(), 'appendEntries').map(({ to, commitIndex, entries }) => [
      to,
      commitIndex,
      entries.length,
    ]),
    [
      [2, 2, 0],
      [3, 2, 0],
    ],
  );
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 2));
  member.raft.step(taken({ from: 3, to: 1, term: 1 }, 2));
  deepEqual(member.drain(), []);
});

test('a command of three members costs eight messages', () => {
  const network = Network.of([1, 2, 3], { random: () => 0 });
  network.elect(1);
  network.tick(2);
  let count = 0;
  for (const member of network.members.values())
    member.observer = { ready() {}, applied() {}, sent: () => void count++ };
  network.member(1).raft.propose([command()]);
  network.settle();
  equal(count, 8);
});

test('what is proposed and not committed is bounded in bytes, one command aside', () => {
  const member = leader({ maxUncommittedBytes: 100 });
  member.raft.propose([command(300)]);
  throws(() => member.raft.propose([command(1)]), {
    code: 'ETL_LIMIT_EXCEEDED',
    message: /300 bytes are proposed and not committed, at most 100/,
  });
  member.drain();
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 2));
  member.raft.propose([command(60)]);
  member.raft.propose([command(40)]);
  throws(() => member.raft.propose([command(1)]), { code: 'ETL_LIMIT_EXCEEDED' });
});

test('entries of a former term do not make room for new ones', () => {
  const member = one(3, { maxUncommittedBytes: 100 });
  member.seed([1, 1, 1, 1], 1);
  lead(member);
  member.raft.propose([command(10)]);
  member.drain();
  // Five entries are committed, of which the last has no data; the own ten bytes are not.
  member.raft.step(taken({ from: 2, to: 1, term: 2 }, 5));
  member.drain();
  throws(() => member.raft.propose([command(91)]), { code: 'ETL_LIMIT_EXCEEDED' });
  member.raft.propose([command(90)]);
});

test('commands without data do not fill the bound', () => {
  const member = leader({ maxUncommittedBytes: 1 });
  for (let at = 0; at < 50; at++) member.raft.propose([new Uint8Array(0)]);
  member.raft.propose([command(1)]);
  equal(member.raft.status().lastIndex, 52);
});
