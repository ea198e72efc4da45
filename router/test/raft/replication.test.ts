import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { configurationOf } from '../../src/raft/configuration.ts';
import { encodeChange, members } from './member.ts';
import { Network } from './network.ts';

function cluster(...ids: readonly number[]): Network {
  return Network.of(ids);
}

test('a command that a quorum holds is applied by all', () => {
  const network = cluster(1, 2, 3);
  network.elect(1);
  equal(network.member(1).raft.role, 'leader');
  network.member(1).raft.propose([Buffer.from('a'), Buffer.from('b')]);
  network.settle();
  for (const id of [1, 2, 3]) deepEqual(network.member(id).applied, ['a', 'b']);
});

test('a cluster of one commits by itself', () => {
  const network = cluster(1);
  network.elect(1);
  network.member(1).raft.propose([Buffer.from('a')]);
  network.settle();
  deepEqual(network.member(1).applied, ['a']);
});

test('an isolated leader steps down, and what it took alone is replaced', () => {
  const network = cluster(1, 2, 3);
  network.elect(1);
  network.isolate(1);
  network.member(1).raft.propose([Buffer.from('lost')]);
  network.tick(40);
  equal(network.member(1).raft.role !== 'leader', true);
  const leader = [2, 3].find((id) => network.member(id).raft.role === 'leader') as number;
  network.member(leader).raft.propose([Buffer.from('kept')]);
  network.settle();
  network.heal();
  network.tick(40);
  for (const id of [1, 2, 3]) deepEqual(network.member(id).applied, ['kept']);
});

test('a change of two members goes through a joint configuration and ends by itself', () => {
  const network = new Network(members([1, 2, 3, 4, 5], {}, configurationOf(1, 2, 3)));
  network.elect(1);
  const change = {
    steps: [
      { step: 'addVoter', id: 4 },
      { step: 'remove', id: 3 },
    ],
    autoLeave: true,
  } as const;
  network.member(1).raft.proposeConfiguration(change, encodeChange(change));
  network.tick(5);
  for (const id of [1, 2, 4])
    deepEqual(network.member(id).raft.status().configuration, configurationOf(1, 2, 4));
});

test('a read is granted after a round of heartbeats', () => {
  const network = cluster(1, 2, 3);
  network.elect(1);
  network.member(1).raft.readIndex(7);
  network.member(2).raft.readIndex(8);
  network.settle();
  deepEqual(network.member(1).reads, [{ context: 7, index: 1 }]);
  deepEqual(network.member(2).reads, [{ context: 8, index: 1 }]);
});

test('leadership is handed to a member that has everything', () => {
  const network = cluster(1, 2, 3);
  network.elect(1);
  network.member(1).raft.transferTo(3);
  network.settle();
  equal(network.member(3).raft.role, 'leader');
});
