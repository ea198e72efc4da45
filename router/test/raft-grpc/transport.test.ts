import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError, ManualClock } from '@etl-router/core';
import type { Message } from '../../src/raft/messages.ts';
import { append, clusterId, heartbeat, type Member, withMembers } from './members.ts';
import { addReader, repeatUntil } from './strangers.ts';

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
    assert.deepEqual([a.transport.stats().lost, b.transport.stats().lost], [0, 0]);
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
    await leader.transport.close();
    const gone = follower.heard.until(({ unreachable }) => unreachable.includes(1));
    await repeatUntil(gone, () => follower.transport.send([heartbeat(2, 1)]));
    while (follower.transport.stats().links.length > 0) {
      await new Promise((next) => setImmediate(next));
    }
  }),
);

test(
  'a member that stops reading costs bounded memory, is reported, and holds up nobody',
  withMembers(async (members) => {
    const sender = await members.add({ id: 1 });
    const reader = await members.add({ id: 2 });
    const stuck = await addReader(members, 3, () => false);
    sender.transport.setPeers([reader.peer, stuck]);
    const bytes = 256 * 1024;
    for (let index = 1; index <= 200; index++) {
      sender.transport.send([append(1, 3, index, bytes), append(1, 2, index, bytes)]);
      await reader.heard.until(({ messages }) => messages.length === index);
    }
    assert.ok(sender.heard.unreachable.includes(3));
    assert.ok(!sender.heard.unreachable.includes(2));
    const { links, lost } = sender.transport.stats();
    const queued = links.reduce((sum, { queuedBytes }) => sum + queuedBytes, 0);
    assert.ok(queued > 8 * 1024 * 1024 && queued <= 16 * 1024 * 1024, `${queued} bytes`);
    assert.ok(lost > 100 && lost < 200, `${lost} lost`);
  }),
);

test(
  'heartbeats pass a member that does not read the appends',
  withMembers(async (members) => {
    const sender = await members.add({ id: 1 });
    const beats = Promise.withResolvers<void>();
    let count = 0;
    const peer = await addReader(members, 2, ({ messages }) => {
      count += messages.filter(({ body }) => body.case === 'heartbeat').length;
      if (count === 100) beats.resolve();
      return messages.every(({ body }) => body.case !== 'appendEntries');
    });
    sender.transport.setPeers([peer]);
    for (let index = 1; index <= 100; index++) {
      sender.transport.send([append(1, 2, index, 512 * 1024), heartbeat(1, 2)]);
    }
    await beats.promise;
    assert.equal(count, 100);
  }),
);

test(
  'a member that restarts is reached again, at another address too, and the loss is told',
  withMembers(async (members) => {
    const sender = await members.add({ id: 1 });
    const first = await members.add({ id: 2 });
    sender.transport.setPeers([first.peer]);
    sender.transport.send([heartbeat(1, 2)]);
    await first.heard.until(({ messages }) => messages.length > 0);
    await first.transport.close();
    const told = sender.heard.until(({ unreachable }) => unreachable.includes(2));
    await repeatUntil(told, () => sender.transport.send([heartbeat(1, 2)]));
    const second = await members.add({ id: 2, port: first.transport.port });
    const reached = second.heard.until(({ messages }) => messages.length > 0);
    await repeatUntil(reached, () => sender.transport.send([heartbeat(1, 2)]));
    await second.transport.close();
    const third = await members.add({ id: 2 });
    sender.transport.setPeers([third.peer]);
    sender.transport.send([heartbeat(1, 2, 9)]);
    await third.heard.until(({ messages }) => messages.length > 0);
    assert.deepEqual(third.heard.messages, [heartbeat(1, 2, 9)]);
  }),
);

test(
  'a member that comes back is dialled as soon as it dials, without waiting out a pause',
  withMembers(async (members) => {
    const clock = new ManualClock();
    const waiting = await members.add({ id: 1, clock });
    const first = await members.add({ id: 2 });
    await first.transport.close();
    waiting.transport.setPeers([first.peer]);
    await waiting.heard.until(({ unreachable }) => unreachable.includes(2));
    while (clock.pending === 0) await new Promise((next) => setImmediate(next));
    const second = await members.add({ id: 2, port: first.transport.port });
    second.transport.setPeers([waiting.peer]);
    const reached = second.heard.until(({ messages }) => messages.length > 0);
    await repeatUntil(reached, () => waiting.transport.send([heartbeat(1, 2)]));
  }),
);

test(
  'a member that left is not sent to any more',
  withMembers(async (members) => {
    const [a, b] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    a.transport.setPeers([b.peer]);
    a.transport.send([heartbeat(1, 2)]);
    await b.heard.until(({ messages }) => messages.length === 1);
    a.transport.setPeers([]);
    a.transport.send([heartbeat(1, 2)]);
    await a.heard.until(({ unreachable }) => unreachable.includes(2));
    assert.deepEqual(a.transport.stats().links, []);
    assert.equal(b.heard.messages.length, 1);
  }),
);

test(
  'who is dialled must be the member that is meant',
  withMembers(async (members) => {
    const other = await members.add({ id: 2, participation: { clusterId: 'another' } });
    const idle = await members.add({ id: 3, participation: null });
    const named = await members.add({ id: 4 });
    const sender = await members.add({ id: 1 });
    const cases = [
      { peer: other.peer, refused: { cluster: 1 } },
      { peer: { ...named.peer, name: 'x' }, refused: { cluster: 1, name: 1 } },
      { peer: { ...named.peer, id: 5 }, refused: { cluster: 1, name: 1, raftId: 1 } },
    ];
    for (const { peer, refused } of cases) {
      sender.transport.setPeers([peer]);
      await sender.heard.until(({ unreachable }) => unreachable.includes(peer.id));
      sender.transport.setPeers([]);
      assert.deepEqual(sender.transport.stats().refused, refused);
    }
    // One that has not started yet is no mistake.
    sender.transport.setPeers([idle.peer]);
    await sender.heard.until(({ unreachable }) => unreachable.includes(3));
    assert.deepEqual(sender.transport.stats().refused, cases.at(-1)?.refused);
    idle.transport.start({ clusterId, receiver: idle.heard.receiver, isInitialised: () => false });
    const reached = idle.heard.until(({ messages }) => messages.length > 0);
    await repeatUntil(reached, () => sender.transport.send([heartbeat(1, 3)]));
  }),
);

test(
  'a message that makes no sense ends its stream',
  withMembers(async (members) => {
    const check = (message: Message): void => {
      if (message.term === 666) throw new EtlError('ETL_INVALID_ARGUMENT', 'term: no');
    };
    const [a, b] = [
      await members.add({ id: 1 }),
      await members.add({ id: 2, participation: { check } }),
    ];
    a.transport.setPeers([b.peer]);
    a.transport.send([{ ...heartbeat(1, 2), term: 666 }, heartbeat(1, 2)]);
    await a.heard.until(({ unreachable }) => unreachable.includes(2));
    assert.deepEqual(b.heard.messages, []);
    assert.deepEqual(b.transport.stats().refused, { malformed: 1 });
  }),
);

test(
  'a port that is taken is said to be, with the flag that moves it',
  withMembers(async (members) => {
    const first = await members.add({ id: 1 });
    await assert.rejects(members.add({ id: 2, port: first.transport.port }), {
      code: 'ETL_PORT_IN_USE',
      message: /--raft-addr/,
    });
  }),
);

test(
  'an address that tells the others nothing is refused',
  withMembers(async (members) => {
    for (const host of ['0.0.0.0', '::', '0:0:0:0:0:0:0:0']) {
      await assert.rejects(members.add({ id: 1, host }), {
        code: 'ETL_CONFIG_INVALID',
        message: /^--raft-addr: .* tells the other members nothing/,
      });
    }
  }),
);
