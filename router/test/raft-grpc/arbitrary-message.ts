// Any message of Raft that has a wire form, with numbers of any size.

import fc from 'fast-check';
import type { Message, MessageBody } from '../../src/raft/messages.ts';
import type { Entry } from '../../src/storage/log-types.ts';

const number = fc.maxSafeNat();
const bool = fc.boolean();
const type = <Type extends string>(name: Type): fc.Arbitrary<Type> => fc.constant(name);

const entry: fc.Arbitrary<Entry> = fc.record({
  index: number,
  term: number,
  type: fc.constantFrom('normal' as const, 'configuration' as const),
  data: fc.uint8Array({ maxLength: 300 }),
});

const body: fc.Arbitrary<MessageBody> = fc.oneof(
  fc.record({
    type: type('requestVote'),
    preVote: bool,
    lastIndex: number,
    lastTerm: number,
    transfer: bool,
  }),
  fc.record({ type: type('requestVoteReply'), preVote: bool, granted: bool }),
  fc.record({
    type: type('appendEntries'),
    previousIndex: number,
    previousTerm: number,
    entries: fc.array(entry, { maxLength: 5 }),
    commitIndex: number,
  }),
  fc.record({
    type: type('appendEntriesReply'),
    rejected: bool,
    index: number,
    hintIndex: number,
    hintTerm: number,
  }),
  fc.record({ type: type('heartbeat'), commitIndex: number, readContext: number }),
  fc.record({ type: type('heartbeatReply'), readContext: number }),
  fc.record({ type: type('timeoutNow') }),
  fc.record({ type: type('readIndex'), context: number }),
  fc.record({ type: type('readIndexReply'), context: number, index: number }),
);

export const message: fc.Arbitrary<Message> = fc
  .tuple(number, number, number, body)
  .map(([from, to, term, sent]) => ({ from, to, term, ...sent }) as Message);
