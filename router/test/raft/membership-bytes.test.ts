// The bytes that are written by hand against the generated code, in both directions.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  ConfigurationChangeSchema,
  ConfigurationStep,
  MembershipSchema,
} from '@etl-router/proto/raft';
import fc from 'fast-check';
import {
  readMembership,
  readMembershipChange,
  writeMembership,
  writeMembershipChange,
} from '../../src/raft/membership-bytes.ts';

const record = <Fields>(
  fields: {
    [field in keyof Fields]: fc.Arbitrary<Fields[field]>;
  },
): fc.Arbitrary<Fields> => fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<Fields>;
const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const ids = fc.array(id, { maxLength: 9 });
const text = fc.string({ maxLength: 64 });
const member = record({ id, name: text, address: text });
const membership = record({
  configuration: record({
    voters: ids,
    outgoing: ids,
    learners: ids,
    nextLearners: ids,
    autoLeave: fc.boolean(),
  }),
  members: fc.array(member, { maxLength: 9 }),
  removed: fc.array(id, { maxLength: 20 }),
});
const steps = ['addVoter', 'addLearner', 'remove'] as const;
const wireSteps = [
  ConfigurationStep.ADD_VOTER,
  ConfigurationStep.ADD_LEARNER,
  ConfigurationStep.REMOVE,
];
const change = record({
  steps: fc.array(record({ step: fc.constantFrom(...steps), id, name: text, address: text }), {
    maxLength: 9,
  }),
  autoLeave: fc.boolean(),
});

test('a membership has the bytes of the generated code, and is read from them', () => {
  fc.assert(
    fc.property(membership, (value) => {
      const { configuration, members, removed } = value;
      const { voters, outgoing, learners, nextLearners, autoLeave } = configuration;
      const twin = create(MembershipSchema, {
        configuration: {
          voters: voters.map(BigInt),
          outgoingVoters: outgoing.map(BigInt),
          learners: learners.map(BigInt),
          nextLearners: nextLearners.map(BigInt),
          autoLeave,
        },
        members: members.map(({ id: raftId, ...peer }) => ({ raftId: BigInt(raftId), ...peer })),
        removed: removed.map(BigInt),
      });
      const bytes = writeMembership(value);
      assert.deepEqual(bytes, toBinary(MembershipSchema, twin));
      assert.deepEqual(readMembership(bytes), value);
    }),
  );
});

test('a change of members has the bytes of the generated code, and is read from them', () => {
  fc.assert(
    fc.property(change, (value) => {
      const twin = create(ConfigurationChangeSchema, {
        changes: value.steps.map(({ step, id: raftId, name, address }) => ({
          step: wireSteps[steps.indexOf(step)] as ConfigurationStep,
          raftId: BigInt(raftId),
          name,
          address,
        })),
        autoLeave: value.autoLeave,
      });
      const bytes = writeMembershipChange(value);
      assert.deepEqual(bytes, toBinary(ConfigurationChangeSchema, twin));
      assert.deepEqual(readMembershipChange(bytes), value);
    }),
  );
});

test('fields of a later release are skipped, and lists that are not packed are read', () => {
  const later = Buffer.concat([
    writeMembershipChange({ steps: [], autoLeave: true }),
    Buffer.from([0x7a, 1, 5]),
  ]);
  assert.deepEqual(readMembershipChange(later), { steps: [], autoLeave: true });
  const single = Buffer.from([0x0a, 4, 0x08, 1, 0x08, 2, 0x18, 3]);
  assert.deepEqual(readMembership(single).configuration.voters, [1, 2]);
  assert.deepEqual(readMembership(single).removed, [3]);
});

test('bytes that end in the middle of a field are refused', () => {
  const member = { id: 300, name: 'one', address: '10.0.0.1:50052' };
  const steps = [{ step: 'addVoter', ...member }] as const;
  const bytes = writeMembershipChange({ steps, autoLeave: false });
  for (let length = 1; length < bytes.length; length++)
    assert.throws(() => readMembershipChange(bytes.subarray(0, length)), `${length} bytes`);
});
