import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, silentLogger, systemClock } from '@etl-router/core';
import type { Dialer } from '../../src/raft/grpc/dialer.ts';
import { type BootstrapResult, greetPeers } from '../../src/raft/grpc/greet-peers.ts';
import { clusterId, type Member, type Members, withMembers } from './members.ts';
import { identity, strangerTo } from './strangers.ts';

async function empty(members: Members, ...ids: readonly number[]): Promise<Member[]> {
  return await Promise.all(
    ids.map((id) => members.add({ id: id * 100, name: String(id), participation: null })),
  );
}

function others(all: readonly Member[], self: Member): { address: string; name: string }[] {
  return all.filter((one) => one !== self).map(({ peer }) => peer);
}

const never = new AbortController().signal;

test(
  'of three that hold nothing the lowest founds, and the others join what it founded',
  withMembers(async (members) => {
    const all = await empty(members, 10, 2, 9);
    const founder = all[1] as Member;
    const results = all.map(async (member) => {
      const result = await member.transport.greetPeers(others(all, member), never);
      if (result.kind === 'found') {
        member.transport.start({
          clusterId,
          receiver: member.heard.receiver,
          isInitialised: () => true,
        });
      }
      return result;
    });
    const founded: BootstrapResult = {
      kind: 'found',
      members: [all[1], all[2], all[0]].map((member) => (member as Member).peer),
    };
    const joined: BootstrapResult = { kind: 'join', clusterId };
    assert.equal(founder.peer.name, '2');
    assert.deepEqual(await Promise.all(results), [joined, founded, joined]);
  }),
);

test(
  'names that were not given are learnt',
  withMembers(async (members) => {
    const all = await empty(members, 1, 2);
    const [first, second] = all as [Member, Member];
    const given = ({ peer }: Member): { address: string }[] => [{ address: peer.address }];
    const cancel = new AbortController();
    const waits = second.transport.greetPeers(given(first), cancel.signal);
    assert.equal((await first.transport.greetPeers(given(second), never)).kind, 'found');
    cancel.abort();
    await assert.rejects(waits);
  }),
);

test(
  'one that is to join tells others so, and founds nothing with those that hold nothing either',
  withMembers(async (members) => {
    const [told, second] = (await empty(members, 1, 2)) as [Member, Member];
    const peers = [second.peer, { address: 'nobody.invalid:50052' }];
    const result = told.transport.greetPeers(peers, never);
    const said = await strangerTo(members, told).greet({ from: identity({}), peers: [] });
    assert.deepEqual(said.peers, ['1', '2', 'nobody']);
    const { receiver } = second.heard;
    second.transport.start({ clusterId, receiver, isInitialised: () => true });
    assert.deepEqual(await result, { kind: 'join', clusterId });
  }),
);

test('nobody is not looked for, where names are slow to be resolved', async () => {
  const asked: string[] = [];
  const from = { id: 2, name: '2', address: '127.0.0.1:2', clusterId };
  const parts = {
    dialer: {
      greet: (address: string) => {
        asked.push(address);
        return Promise.resolve({ from, peers: [], initialised: true });
      },
    } as unknown as Dialer,
    self: () => ({ from: { ...from, id: 1, name: '1' }, peers: [], initialised: false }),
    ...{
      clock: systemClock,
      random: seededRandom(1),
      logger: silentLogger,
      learn: () => undefined,
    },
  };
  const given = [{ address: 'nobody.invalid:1' }, { address: '127.0.0.1:2', name: '2' }];
  assert.equal((await greetPeers(given, parts, never)).kind, 'join');
  assert.deepEqual(asked, ['127.0.0.1:2']);
});

test(
  'a member that is only starting again is not taken for one that holds nothing',
  withMembers(async (members) => {
    const [wiped] = (await empty(members, 1)) as [Member];
    const starting = await members.add({ id: 2, name: '2', clusterId, participation: null });
    const result = wiped.transport.greetPeers([starting.peer], never);
    const said = await strangerTo(members, starting).greet({ from: identity({}), peers: [] });
    assert.deepEqual([said.from?.clusterId, said.initialised], [clusterId, false]);
    const { receiver } = starting.heard;
    starting.transport.start({ clusterId, receiver, isInitialised: () => true });
    assert.deepEqual(await result, { kind: 'join', clusterId });
  }),
);

test(
  'nobody founds while a peer is away, and closing ends the wait',
  withMembers(async (members) => {
    const [first, second] = (await empty(members, 1, 2)) as [Member, Member];
    await second.transport.close();
    const result = first.transport.greetPeers([second.peer], never);
    const settled = result.then(
      () => 'decided',
      (error: unknown) => String(error),
    );
    const again = await members.add({
      id: 3,
      name: '2',
      port: second.transport.port,
      participation: { isInitialised: () => false },
    });
    await first.transport.close();
    assert.match(await settled, /this member stops/);
    assert.equal(again.transport.port, second.transport.port);
  }),
);
