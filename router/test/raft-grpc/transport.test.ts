import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Message } from '../../src/raft/messages.ts';
import { append, heartbeat, type Member, withMembers } from './members.ts';

function indexOf(message: Message): number {
  return message.type === 'appendEntries' ? (message.entries[0]?.index ?? 0) : 0;
}

function meet(...members: readonly Member[]): void {
  for (const { transport, peer } of members) {
    transport.setPeers(members.map((other) => other.peer).filter(({ id }) => id !== peer.id));
  }
}

test(
  '10,000 messages each way arrive complete and in order',
  withMembers(async (members) => {
    const [a, b] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    meet(a, b);
    const count = 10_000;
    for (let sent = 0; sent < count; sent += 1000) {
      for (let index = sent + 1; index <= sent + 1000; index++) {
        a.transport.send([append(1, 2, index)]);
        b.transport.send([append(2, 1, index)]);
      }
      await a.heard.until(({ messages }) => messages.length === sent + 1000);
      await b.heard.until(({ messages }) => messages.length === sent + 1000);
    }
    const expected = Array.from({ length: count }, (_, at) => at + 1);
    assert.deepEqual(a.heard.messages.map(indexOf), expected);
    assert.deepEqual(b.heard.messages.map(indexOf), expected);
    assert.deepEqual([...a.heard.unreachable, ...b.heard.unreachable], []);
  }),
);

test(
  'a member that this one does not know of is answered while it sends',
  withMembers(async (members) => {
    const [leader, follower] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    leader.transport.setPeers([follower.peer]);
    leader.transport.send([heartbeat(1, 2)]);
    await follower.heard.until(({ messages }) => messages.length === 1);
    follower.transport.send([heartbeat(2, 1, 7)]);
    await leader.heard.until(({ messages }) => messages.length === 1);
    assert.deepEqual(leader.heard.messages, [heartbeat(2, 1, 7)]);
  }),
);
