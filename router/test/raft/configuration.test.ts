import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Configuration,
  type ConfigurationChange,
  changeConfiguration,
  checkConfiguration,
  configurationOf,
  isJoint,
  isVoter,
  type MemberStep,
  maxMembers,
  membersOf,
  noMembers,
} from '../../src/raft/configuration.ts';
import { voteResult } from '../../src/raft/quorum.ts';

const leave: ConfigurationChange = { steps: [], autoLeave: false };
const id = fc.integer({ min: 1, max: 9 });
const step: fc.Arbitrary<MemberStep> = fc.record({
  step: fc.constantFrom('addVoter', 'addLearner', 'remove'),
  id,
});
/** Up to seven members; at least one votes. */
const simple: fc.Arbitrary<Configuration> = fc
  .uniqueArray(id, { minLength: 1, maxLength: 7 })
  .chain((ids) => fc.tuple(fc.constant(ids), fc.integer({ min: 1, max: ids.length })))
  .map(([ids, voters]) => ({
    ...configurationOf(...ids.slice(0, voters)),
    learners: ids.slice(voters).toSorted((a, b) => a - b),
  }));
const steps = fc.uniqueArray(step, { minLength: 1, maxLength: 5, selector: (each) => each.id });
const runs = { numRuns: 2000 };

/** Undefined: refused. */
function changed(
  configuration: Configuration,
  change: ConfigurationChange,
): Configuration | undefined {
  try {
    return changeConfiguration(configuration, change);
  } catch (error) {
    equal((error as { code?: string }).code, 'ETL_INVALID_ARGUMENT');
    return undefined;
  }
}

/** What steps lead to, one role for each member. */
function naive(configuration: Configuration, changes: readonly MemberStep[]): Configuration {
  const roles = new Map<number, 'voter' | 'learner'>();
  for (const voter of configuration.voters) roles.set(voter, 'voter');
  for (const learner of configuration.learners) roles.set(learner, 'learner');
  for (const each of changes) {
    if (each.step === 'remove') roles.delete(each.id);
    else roles.set(each.id, each.step === 'addVoter' ? 'voter' : 'learner');
  }
  const listed = (role: string): number[] =>
    [...roles].flatMap(([member, is]) => (is === role ? [member] : [])).toSorted((a, b) => a - b);
  return { ...noMembers, voters: listed('voter'), learners: listed('learner') };
}

test('through a joint configuration a change arrives where its steps lead', () => {
  fc.assert(
    fc.property(simple, steps, fc.boolean(), (before, changes, autoLeave) => {
      fc.pre(changes.length > 1);
      const joint = changed(before, { steps: changes, autoLeave });
      const expected = naive(before, changes);
      const isPossible = expected.voters.length > 0 && membersOf(expected).length <= maxMembers;
      equal(joint !== undefined, isPossible);
      if (joint === undefined) return;
      deepEqual(joint.outgoing, before.voters);
      equal(joint.autoLeave, autoLeave);
      deepEqual(changed(joint, leave), expected);
    }),
    runs,
  );
});

test('one step changes what it names and nothing else', () => {
  fc.assert(
    fc.property(simple, step, (before, change) => {
      const after = changed(before, { steps: [change], autoLeave: true });
      const expected = naive(before, [change]);
      if (after === undefined) equal(expected.voters.length, 0);
      else deepEqual(after, expected);
    }),
    runs,
  );
});

test('several changes one at a time arrive where one joint change does', () => {
  fc.assert(
    fc.property(simple, steps, (before, changes) => {
      fc.pre(changes.length > 1);
      const joint = changed(before, { steps: changes, autoLeave: false });
      let chain: Configuration | undefined = before;
      for (const change of changes) {
        if (chain !== undefined) chain = changed(chain, { steps: [change], autoLeave: false });
      }
      // On its way a chain may lose its last voter, or have too many members for a moment.
      if (joint !== undefined && chain !== undefined) deepEqual(changed(joint, leave), chain);
    }),
    runs,
  );
});

test('every configuration that changes lead to passes the check', () => {
  fc.assert(
    fc.property(simple, fc.array(fc.tuple(steps, fc.boolean()), { maxLength: 8 }), (first, all) => {
      let now = first;
      for (const [changes, autoLeave] of all) {
        if (isJoint(now)) now = changed(now, leave) ?? now;
        now = changed(now, { steps: changes, autoLeave }) ?? now;
        checkConfiguration(now);
        equal(now.voters.length > 0, true);
        if (!isJoint(now)) deepEqual([now.nextLearners, now.autoLeave], [[], false]);
        for (const learner of now.learners) equal(isVoter(now, learner), false);
      }
    }),
    { numRuns: 500 },
  );
});

test('a quorum of the members before and one of those after share a member', () => {
  fc.assert(
    fc.property(simple, steps, fc.integer({ min: 0, max: 1023 }), (before, changes, mask) => {
      const after = changed(before, { steps: changes, autoLeave: false });
      if (after === undefined) return;
      const says = (member: number): boolean => ((mask >> member) & 1) === 1;
      const wins = (which: Configuration, votes: (member: number) => boolean): boolean =>
        voteResult(which, votes) === 'won';
      equal(wins(before, says) && wins(after, (member) => !says(member)), false);
      if (!isJoint(after)) return;
      const end = changeConfiguration(after, leave);
      equal(wins(after, says) && wins(end, (member) => !says(member)), false);
    }),
    { numRuns: 5000 },
  );
});

test('a voter that becomes a learner by a joint change votes until it ends', () => {
  const change: ConfigurationChange = {
    steps: [
      { step: 'addLearner', id: 3 },
      { step: 'addVoter', id: 4 },
    ],
    autoLeave: true,
  };
  const joint = changeConfiguration(configurationOf(1, 2, 3), change);
  deepEqual(joint, {
    voters: [1, 2, 4],
    outgoing: [1, 2, 3],
    learners: [],
    nextLearners: [3],
    autoLeave: true,
  });
  equal(isVoter(joint, 3), true);
  deepEqual(changeConfiguration(joint, leave), {
    ...configurationOf(1, 2, 4),
    learners: [3],
  });
});

test('several founders begin a cluster that is not joint', () => {
  const change: ConfigurationChange = {
    steps: [1, 2, 3].map((each) => ({ step: 'addVoter', id: each })),
    autoLeave: true,
  };
  deepEqual(changeConfiguration(noMembers, change), configurationOf(1, 2, 3));
});

const refusals: readonly [string, Configuration, readonly MemberStep[], RegExp][] = [
  ['the last voter', configurationOf(1), [{ step: 'remove', id: 1 }], /no voter would be left/],
  [
    'the last voter becomes a learner',
    configurationOf(1),
    [{ step: 'addLearner', id: 1 }],
    /no voter would be left/,
  ],
  [
    'all voters at once',
    configurationOf(1, 2),
    [
      { step: 'remove', id: 1 },
      { step: 'addLearner', id: 2 },
    ],
    /no voter would be left/,
  ],
  ['leaving where nothing is joint', configurationOf(1, 2), [], /no change of several/],
  ['id 0', configurationOf(1), [{ step: 'addVoter', id: 0 }], /from 1 to/],
  ['half an id', configurationOf(1), [{ step: 'addVoter', id: 1.5 }], /from 1 to/],
  ['id 2^53', configurationOf(1), [{ step: 'addVoter', id: 2 ** 53 }], /from 1 to/],
  [
    'one member twice',
    configurationOf(1),
    [
      { step: 'addVoter', id: 2 },
      { step: 'remove', id: 2 },
    ],
    /named twice/,
  ],
  [
    'a tenth member',
    configurationOf(1, 2, 3, 4, 5, 6, 7, 8, 9),
    [{ step: 'addLearner', id: 10 }],
    /at most 9 members/,
  ],
  [
    'a hundred members',
    configurationOf(1),
    Array.from({ length: 100 }, (_, at) => ({ step: 'addVoter' as const, id: at + 2 })),
    /at most 9 members/,
  ],
  [
    'a second change while joint',
    changeConfiguration(configurationOf(1, 2), {
      steps: [
        { step: 'addVoter', id: 3 },
        { step: 'addVoter', id: 4 },
      ],
      autoLeave: true,
    }),
    [{ step: 'addVoter', id: 5 }],
    /not completed yet/,
  ],
];

for (const [name, configuration, changes, why] of refusals) {
  test(`refused: ${name}`, () => {
    throws(() => changeConfiguration(configuration, { steps: changes, autoLeave: false }), {
      code: 'ETL_INVALID_ARGUMENT',
      message: why,
    });
  });
}

const damaged: readonly [string, Partial<Configuration>, RegExp][] = [
  ['voters out of order', { voters: [2, 1] }, /ascending/],
  ['a voter twice', { voters: [1, 1] }, /ascending/],
  ['a learner that votes', { voters: [1, 2], learners: [2] }, /a learner votes/],
  ['a learner of the half that ends', { outgoing: [3], learners: [3] }, /a learner votes/],
  ['a next learner that never voted', { outgoing: [1, 2], nextLearners: [4] }, /no outgoing/],
  ['a next learner that stays a voter', { outgoing: [1, 3], nextLearners: [1] }, /stays a voter/],
];

for (const [name, parts, why] of damaged) {
  test(`damage is seen: ${name}`, () => {
    throws(() => checkConfiguration({ ...configurationOf(1, 2), ...parts }), { message: why });
  });
}
