import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BootstrapResult } from '../../src/raft/grpc/greet-peers.ts';
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
