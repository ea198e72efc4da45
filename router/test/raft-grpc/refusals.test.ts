import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { ManualClock } from '@etl-router/core';
import { encodeMessage, toServiceDefinition } from '@etl-router/proto/grpc';
import {
  type EntrySchema,
  type EntryType,
  ExchangeRequestSchema,
  RaftService,
} from '@etl-router/proto/raft';
import { ChannelCredentials, Client, type ServiceError, status } from '@grpc/grpc-js';
import { heartbeat, withMembers } from './members.ts';
import { identity, refusalOf, type StrangeFrame, strangerTo } from './strangers.ts';

const from = identity({});
const heartbeatBody = { case: 'heartbeat', value: { commitIndex: 1n, readContext: 0n } } as const;
const said = { from: 9n, to: 1n, term: 1n, body: heartbeatBody };

const cases: readonly {
  readonly what: string;
  readonly frames: readonly StrangeFrame[];
  readonly refusal: RegExp;
  readonly counted: string;
}[] = [
  {
    what: 'a stream that does not begin with who sends',
    frames: [{ messages: [said] }],
    refusal: /^ETL_INVALID_ARGUMENT: from: /,
    counted: 'malformed',
  },
  {
    what: 'a member of another cluster',
    frames: [{ from: identity({ clusterId: 'other' }) }],
    refusal: /^ETL_PERMISSION_DENIED: member m9 .*belongs to cluster other, this one to test-cl/,
    counted: 'cluster',
  },
  {
    what: 'a member of no cluster',
    frames: [{ from: identity({ clusterId: '' }) }],
    refusal: /^ETL_PERMISSION_DENIED: .*\(none\)/,
    counted: 'cluster',
  },
  {
    what: 'another version of the protocol',
    frames: [{ from: identity({ protocolVersion: 2 }) }],
    refusal: /^ETL_UNSUPPORTED: .*version 2 .*speaks 1/,
    counted: 'protocolVersion',
  },
  {
    what: 'the id of the member itself',
    frames: [{ from: identity({ raftId: 1n }) }],
    refusal: /^ETL_PERMISSION_DENIED: .*has the id of this member/,
    counted: 'raftId',
  },
  {
    what: 'an id that was removed',
    frames: [{ from: identity({ raftId: 8n }) }],
    refusal: /^ETL_PERMISSION_DENIED: member 8 \(m9\) was removed/,
    counted: 'raftId',
  },
  {
    what: 'the id of a member under another name',
    frames: [{ from: identity({ raftId: 2n }) }],
    refusal: /^ETL_PERMISSION_DENIED: member 2 is named m2, not m9/,
    counted: 'name',
  },
  {
    what: 'an id beyond 2^53 - 1',
    frames: [{ from: identity({ raftId: 2n ** 53n }) }],
    refusal: /^ETL_INVALID_ARGUMENT: from.raft_id: /,
    counted: 'malformed',
  },
  {
    what: 'a name with a line break',
    frames: [{ from: identity({ name: 'a\nb' }) }],
    refusal: /^ETL_INVALID_ARGUMENT: from.name: /,
    counted: 'malformed',
  },
  {
    what: 'a name of 64 KiB',
    frames: [{ from: identity({ name: 'a'.repeat(65_536) }) }],
    refusal: /^ETL_INVALID_ARGUMENT: from.name: /,
    counted: 'malformed',
  },
  {
    what: 'a message that another member is said to send',
    frames: [{ from, messages: [{ ...said, from: 2n }] }],
    refusal: /^ETL_PERMISSION_DENIED: a message on the stream of member 9 .* from 2/,
    counted: 'sender',
  },
  {
    what: 'a message for another member',
    frames: [{ from, messages: [{ ...said, to: 2n }] }],
    refusal: /^ETL_PERMISSION_DENIED: a message for member 2 came to member 1/,
    counted: 'receiver',
  },
  {
    what: 'a second introduction',
    frames: [{ from }, { from }],
    refusal: /^ETL_INVALID_ARGUMENT: from: /,
    counted: 'malformed',
  },
  {
    what: 'a term beyond 2^53 - 1',
    frames: [{ from, messages: [{ ...said, term: 2n ** 53n }] }],
    refusal: /^ETL_INVALID_ARGUMENT: raft message: term is 9007199254740992/,
    counted: 'malformed',
  },
  {
    what: 'a message without a body',
    frames: [{ from, messages: [{ ...said, body: { case: undefined } }] }],
    refusal: /^ETL_INVALID_ARGUMENT: raft message: body /,
    counted: 'malformed',
  },
  {
    what: '1,025 messages in a frame',
    frames: [{ from, messages: Array.from({ length: 1025 }, () => said) }],
    refusal: /^ETL_INVALID_ARGUMENT: messages: has 1025 items/,
    counted: 'malformed',
  },
  {
    what: '513 entries in a message',
    frames: [{ from, messages: [append(Array.from({ length: 513 }, () => ({ type: 1 })))] }],
    refusal: /^ETL_INVALID_ARGUMENT: raft message: append_entries.entries has 513 items/,
    counted: 'malformed',
  },
  {
    what: 'an entry of an unknown type',
    frames: [{ from, messages: [append([{ type: 99 as EntryType }])] }],
    refusal: /^ETL_INVALID_ARGUMENT: raft message: append_entries.entries.type is 99/,
    counted: 'malformed',
  },
  {
    what: 'an entry of more than 1 MiB',
    frames: [{ from, messages: [append([{ type: 1, data: new Uint8Array(1024 * 1024 + 1) }])] }],
    refusal: /^ETL_INVALID_ARGUMENT: raft message: append_entries.entries.data has 1048577 bytes/,
    counted: 'malformed',
  },
];

function append(
  entries: readonly MessageInitShape<typeof EntrySchema>[],
): NonNullable<StrangeFrame['messages']>[number] {
  return { ...said, body: { case: 'appendEntries', value: { entries: [...entries] } } };
}

for (const { what, frames, refusal, counted } of cases) {
  test(
    `${what} is refused and counted`,
    withMembers(async (members) => {
      const member = await members.add({ id: 1, participation: { isRemoved: (id) => id === 8 } });
      member.transport.setPeers([{ id: 2, name: 'm2', address: '127.0.0.1:1' }]);
      assert.match(await refusalOf(strangerTo(members, member), ...frames), refusal);
      assert.deepEqual(member.heard.messages, []);
      assert.deepEqual(member.transport.stats().refused, { [counted]: 1 });
    }),
  );
}

test(
  'a frame beyond 4 MiB is refused, and the member goes on',
  withMembers(async (members) => {
    const member = await members.add({ id: 1 });
    const client = strangerTo(members, member);
    const entry = { type: 1, data: new Uint8Array(1024 * 1024) };
    const refusal = await refusalOf(client, { from, messages: [append(Array(5).fill(entry))] });
    assert.match(refusal, /^ETL_LIMIT_EXCEEDED: /);
    const other = await members.add({ id: 2 });
    other.transport.setPeers([member.peer]);
    other.transport.send([heartbeat(2, 1)]);
    await member.heard.until(({ messages }) => messages.length === 1);
  }),
);

test(
  'a member that belongs to no cluster yet says so',
  withMembers(async (members) => {
    const member = await members.add({ id: 1, participation: null });
    const refusal = await refusalOf(strangerTo(members, member), { from });
    assert.match(refusal, /^ETL_UNAVAILABLE: member m1 belongs to no cluster yet/);
  }),
);

test(
  'a stream that never says who sends is ended after 10 s',
  withMembers(async (members) => {
    const clock = new ManualClock();
    const member = await members.add({ id: 1, clock });
    const ended = refusalOf(strangerTo(members, member));
    while (clock.pending === 0) await new Promise((next) => setImmediate(next));
    clock.advance(10_000);
    assert.match(await ended, /^ETL_TIMEOUT: from: who sends was not said within 10000 ms/);
  }),
);

test(
  'of more than four streams of one member the oldest ends',
  withMembers(async (members) => {
    const member = await members.add({ id: 1 });
    const client = strangerTo(members, member);
    const first = refusalOf(client, { from });
    const others = Array.from({ length: 4 }, () => refusalOf(client, { from }));
    assert.match(await Promise.race([first, ...others]), /^ETL_LIMIT_EXCEEDED: a later stream/);
    await member.transport.close();
    await Promise.all([first, ...others]);
  }),
);

test(
  'bytes that are no message end the stream, are counted, and harm nobody',
  withMembers(async (members) => {
    const malformed = ['0aff', '0a05', 'ff', '08'.padEnd(22, 'ff'), '12ff01', '0b', '1207320508'];
    const member = await members.add({ id: 1 });
    const client = new Client(member.peer.address, ChannelCredentials.createInsecure());
    members.onClose(async () => client.close());
    const { exchange } = toServiceDefinition(RaftService);
    for (const [at, hex] of malformed.entries()) {
      const same = (bytes: Buffer): Buffer => bytes;
      const call = client.makeBidiStreamRequest(exchange?.path ?? '', same, same);
      call.on('data', () => undefined);
      call.write(encodeMessage(ExchangeRequestSchema, { from }));
      call.write(Buffer.from(hex, 'hex'));
      const [error] = (await once(call, 'error', { signal: AbortSignal.timeout(60_000) })) as [
        ServiceError,
      ];
      assert.equal(error.code, status.INVALID_ARGUMENT, hex);
      assert.deepEqual(member.transport.stats().refused, { malformed: at + 1 }, hex);
    }
    const other = await members.add({ id: 2 });
    other.transport.setPeers([member.peer]);
    other.transport.send([heartbeat(2, 1)]);
    await member.heard.until(({ messages }) => messages.length === 1);
  }),
);
