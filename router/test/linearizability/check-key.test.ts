// The search against its twin, histories that everybody knows, and what is said about one that is wrong.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkKey, type KeyResult } from '../../linearizability/check-key.ts';
import { modelOf } from '../../linearizability/model.ts';
import type { Operation, OperationName } from '../../linearizability/operations.ts';
import { isLinearizable } from './naive-checker.ts';

const budget = { maxSteps: 1_000_000 };

/** Operations from call to return, numbered from 1; one without a return has no answer either. */
type Line = readonly [
  op: OperationName,
  input: object,
  out: object | null,
  callNs: number,
  returnNs: number | null,
];

function historyOf(...lines: readonly Line[]): readonly Operation[] {
  return lines.map(([op, input, out, callNs, returnNs], at) => {
    const line = { client: at, id: at + 1, callNs, returnNs, op, in: input, out };
    return line as unknown as Operation;
  });
}

function judge(history: readonly Operation[]): KeyResult {
  return checkKey(history, modelOf(history[0] as Operation), budget);
}

const write = (value: number): readonly ['writeRegister', object, object] => [
  ...(['writeRegister', { register: 1, value }, {}] as const),
];
const read = (value: number): readonly ['readRegister', object, object] => [
  ...(['readRegister', { register: 1 }, { value }] as const),
];
const swap = (
  expected: number,
  value: number,
  found: number,
): readonly ['swapRegister', object, object] => [
  'swapRegister',
  { register: 1, expected, value },
  { done: found === expected, value: found === expected ? value : found },
];
const name = { name: 'EtlSource/default/a' };
const lane = { lane: 'default/p/in/0' };

const good: readonly (readonly [claim: string, ...lines: readonly Line[]])[] = [
  ['nothing but a read of what was never written', [...read(0), 0, 1]],
  [
    'reads during a write may see it or not, and never go back',
    [...write(1), 0, 100],
    [...read(0), 10, 20],
    [...read(1), 30, 40],
    [...read(1), 110, 120],
  ],
  [
    'of two writes at once either may be the last',
    [...write(1), 0, 100],
    [...write(2), 0, 100],
    [...read(1), 110, 120],
    [...read(1), 130, 140],
  ],
  ['what ends as another begins may come after it', [...read(1), 0, 10], [...write(1), 10, 20]],
  [
    'a write of unknown outcome may come much later',
    ['writeRegister', { register: 1, value: 1 }, null, 0, null],
    [...read(0), 1000, 1010],
    [...read(1), 1020, 1030],
  ],
  [
    'a write of unknown outcome may never come',
    ['writeRegister', { register: 1, value: 1 }, null, 0, null],
    [...read(0), 1000, 1010],
  ],
  [
    'a swap fails where another came first, though it began earlier',
    [...swap(0, 1, 2), 0, 100],
    [...swap(0, 2, 0), 10, 20],
    [...read(2), 110, 120],
  ],
  [
    'a queue of writers each sees the one before',
    [...swap(0, 1, 0), 0, 50],
    [...swap(1, 2, 1), 0, 50],
    [...swap(2, 3, 2), 0, 50],
    [...read(3), 60, 70],
  ],
  [
    'the version that a write of unknown outcome was given is learnt by a read',
    ['create', { ...name, spec: 'a' }, null, 0, null],
    ['get', name, { version: 7, spec: 'a' }, 10, 20],
    ['update', { ...name, spec: 'b', ifVersion: 7 }, { version: 9 }, 30, 40],
  ],
  [
    'an equal object keeps its version',
    ['create', { ...name, spec: 'a' }, { version: 3 }, 0, 10],
    ['update', { ...name, spec: 'a' }, { version: 3, changed: false }, 20, 30],
  ],
  [
    'an object that is made again has a version of its own',
    ['create', { ...name, spec: 'a' }, { version: 3 }, 0, 10],
    ['delete', { ...name, ifVersion: 3 }, {}, 20, 30],
    ['delete', name, { error: 'notFound' }, 40, 50],
    ['update', { ...name, spec: 'a' }, { version: 5, changed: true }, 60, 70],
  ],
  [
    'a holder that was replaced is fenced and told of the present epoch',
    ['acquireEpoch', lane, { epoch: 4, position: '' }, 0, 10],
    ['acquireEpoch', lane, { epoch: 6, position: '01' }, 20, 90],
    ['commitPosition', { ...lane, epoch: 4, position: '01' }, {}, 30, 40],
    [
      'commitPosition',
      { ...lane, epoch: 4, position: '02' },
      { error: 'fenced', epoch: 6, position: '01' },
      50,
      60,
    ],
  ],
  [
    'a refusal says nothing',
    [...write(1), 0, 10],
    ['writeRegister', { register: 1, value: 2 }, { error: 'refused' }, 20, 30],
    [...read(1), 40, 50],
  ],
];

const bad: readonly (readonly [claim: string, culprit: number, ...lines: readonly Line[]])[] = [
  ['a read sees what nobody wrote', 2, [...write(1), 0, 10], [...read(2), 20, 30]],
  ['a read comes before the write it sees', 1, [...read(1), 0, 10], [...write(1), 11, 20]],
  [
    'a read misses what was written before it',
    3,
    [...write(1), 0, 10],
    [...write(2), 20, 30],
    [...read(1), 40, 50],
  ],
  [
    'reads during a write go back from the new value to the old one',
    3,
    [...write(1), 0, 100],
    [...read(1), 10, 20],
    [...read(0), 30, 40],
  ],
  [
    'two readers see two writes in two orders',
    6,
    [...write(1), 0, 200],
    [...write(2), 0, 200],
    [...read(1), 10, 20],
    [...read(2), 10, 20],
    [...read(1), 30, 40],
    [...read(2), 30, 40],
  ],
  [
    'both of two swaps from the same value are done',
    2,
    [...swap(0, 1, 0), 0, 100],
    [...swap(0, 2, 0), 0, 100],
  ],
  [
    'a write of unknown outcome takes effect twice',
    5,
    ['writeRegister', { register: 1, value: 1 }, null, 0, null],
    [...read(1), 10, 20],
    [...write(2), 30, 40],
    [...read(2), 50, 60],
    [...read(1), 70, 80],
  ],
  [
    'a write that was refused is read',
    2,
    ['writeRegister', { register: 1, value: 1 }, { error: 'refused' }, 0, 10],
    [...read(1), 20, 30],
  ],
  [
    'an answered write is lost',
    2,
    ['create', { ...name, spec: 'a' }, { version: 3 }, 0, 10],
    ['get', name, { error: 'notFound' }, 20, 30],
  ],
  [
    'a version is given twice',
    2,
    ['create', { ...name, spec: 'a' }, { version: 3 }, 0, 10],
    ['update', { ...name, spec: 'b' }, { version: 3 }, 20, 30],
  ],
  [
    'two updates of one version are both done',
    3,
    ['create', { ...name, spec: 'a' }, { version: 3 }, 0, 10],
    ['update', { ...name, spec: 'b', ifVersion: 3 }, { version: 5 }, 20, 30],
    ['update', { ...name, spec: 'c', ifVersion: 3 }, { version: 6 }, 20, 40],
  ],
  [
    'a holder that was replaced moves the lane',
    3,
    ['acquireEpoch', lane, { epoch: 4, position: '' }, 0, 10],
    ['acquireEpoch', lane, { epoch: 6, position: '' }, 20, 30],
    ['commitPosition', { ...lane, epoch: 4, position: '01' }, {}, 40, 50],
  ],
  [
    'an epoch is given twice',
    2,
    ['acquireEpoch', lane, { epoch: 4, position: '' }, 0, 10],
    ['acquireEpoch', lane, { epoch: 4, position: '' }, 5, 15],
  ],
  [
    'a lane goes back',
    4,
    ['acquireEpoch', lane, { epoch: 4, position: '' }, 0, 10],
    ['commitPosition', { ...lane, epoch: 4, position: '02' }, {}, 20, 30],
    ['commitPosition', { ...lane, epoch: 4, position: '02' }, {}, 40, 50],
    ['getLane', lane, { epoch: 4, position: '01' }, 60, 70],
  ],
  [
    'a group goes back to a generation that is over',
    2,
    ['commitGroupPosition', { partition: 'g/s/0', generation: 5, position: '01' }, {}, 0, 10],
    ['commitGroupPosition', { partition: 'g/s/0', generation: 3, position: '02' }, {}, 20, 30],
  ],
];

for (const [claim, ...lines] of good) {
  test(`linearizable: ${claim}`, () => {
    const history = historyOf(...lines);
    equal(judge(history).verdict, 'ok');
    equal(isLinearizable(history), true);
  });
}

for (const [claim, culprit, ...lines] of bad) {
  test(`not linearizable: ${claim}`, () => {
    const history = historyOf(...lines);
    const result = judge(history);
    equal(result.verdict === 'illegal' && result.counterExample.culprit.id, culprit);
    equal(isLinearizable(history), false);
  });
}

/** One of the operations on a key, and one of the answers that it may be given. */
const small = fc.integer({ min: 0, max: 2 });
const version = fc.integer({ min: 1, max: 4 });
const maybeVersion = fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined });
const spec = fc.constantFrom('a', 'b');
const position = fc.constantFrom('', '01', '02');
const conflict = version.map((found) => ({ error: 'conflict', version: found }));
const missing = fc.constant({ error: 'notFound' });
const written = fc.oneof(
  version.map((made) => ({ version: made })),
  fc.record({ version, changed: fc.boolean() }),
);
const place = fc.record({ epoch: version, position });
type Asked = readonly [op: OperationName, input: object, out: object];

const asked = {
  register: fc.oneof(
    small.map((value): Asked => write(value)),
    small.map((value): Asked => read(value)),
    fc.tuple(small, small, small).map(([a, b, c]): Asked => swap(a, b, c)),
  ),
  object: fc.oneof(
    fc
      .tuple(spec, fc.oneof(written, conflict))
      .map(([text, out]): Asked => ['create', { ...name, spec: text }, out]),
    fc
      .tuple(spec, maybeVersion, fc.oneof(written, conflict))
      .map(
        ([text, ifVersion, out]): Asked => [
          'update',
          { ...name, spec: text, ...(ifVersion !== undefined && { ifVersion }) },
          out,
        ],
      ),
    fc
      .tuple(maybeVersion, fc.oneof(fc.constant({}), missing, conflict))
      .map(
        ([ifVersion, out]): Asked => [
          'delete',
          { ...name, ...(ifVersion !== undefined && { ifVersion }) },
          out,
        ],
      ),
    fc.oneof(fc.record({ version, spec }), missing).map((out): Asked => ['get', name, out]),
  ),
  lane: fc.oneof(
    place.map((out): Asked => ['acquireEpoch', lane, out]),
    fc
      .tuple(
        place,
        fc.oneof(
          fc.constant({}),
          missing,
          fc
            .tuple(fc.constantFrom('fenced', 'conflict', 'invalid'), place)
            .map(([error, held]) => ({ error, ...held })),
        ),
      )
      .map(([input, out]): Asked => ['commitPosition', { ...lane, ...input }, out]),
    fc.oneof(place, missing).map((out): Asked => ['getLane', lane, out]),
  ),
  group: fc.oneof(
    fc
      .tuple(
        fc.record({ generation: version, position }),
        fc.oneof(
          fc.constant({}),
          fc.record({ error: fc.constant('conflict'), position }),
          fc.record({ error: fc.constant('fenced'), generation: version }),
          fc.constant({ error: 'fenced' }),
        ),
      )
      .map(([input, out]): Asked => ['commitGroupPosition', { partition: 'g/s/0', ...input }, out]),
    fc
      .oneof(fc.record({ position }), missing)
      .map((out): Asked => ['getGroupPosition', { partition: 'g/s/0' }, out]),
  ),
} as const;

for (const [kind, arbitrary] of Object.entries(asked)) {
  test(`the search says of any few operations on a ${kind} what trying every order says`, () => {
    const line = fc
      .tuple(arbitrary, fc.nat(12), fc.nat(8), fc.nat(9))
      .map(([[op, input, out], callNs, ns, chance]): Line => {
        const isKnown = chance >= 3;
        const told = chance === 9 ? { error: 'refused' } : out;
        return [op, input, isKnown ? told : null, callNs, isKnown ? callNs + ns : null];
      });
    const counts = { ok: 0, illegal: 0, undecided: 0 };
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 7 }), (lines) => {
        const history = historyOf(...lines);
        const { verdict } = judge(history);
        counts[verdict]++;
        equal(verdict, isLinearizable(history) ? 'ok' : 'illegal');
      }),
      { numRuns: 3000 },
    );
    // Neither answer by itself would be a test.
    equal(counts.ok > 100 && counts.illegal > 100, true, JSON.stringify(counts));
  });
}

test('what is said of a wrong history leads to the operation that is wrong', () => {
  const result = judge(
    historyOf(
      [...write(1), 0, 10],
      [...read(1), 20, 30],
      [...write(2), 25, 35],
      [...read(1), 40, 50],
      [...read(2), 40, 60],
    ),
  );
  if (result.verdict !== 'illegal') throw new Error('it is found right');
  const { culprit, prefix, state, misfits } = result.counterExample;
  deepEqual(
    [culprit.id, prefix.map(({ id }) => id), state, misfits.map(({ id }) => id)],
    [4, [1, 2, 3, 5], 'value 2', [4]],
  );
});

test('a search that may not take its steps or its time is undecided', () => {
  const lines = Array.from({ length: 12 }, (_, at): Line => [...write(at), 0, 100]);
  const history = historyOf(...lines, [...read(99), 110, 120]);
  const model = modelOf(history[0] as Operation);
  equal(checkKey(history, model, { maxSteps: 1000 }).verdict, 'undecided');
  const isOver = (): boolean => true;
  equal(checkKey(history, model, { maxSteps: 1e9, isOver }).verdict, 'undecided');
  equal(checkKey(history, model, { maxSteps: 1e9 }).verdict, 'illegal');
});

test('a long history of many clients is decided in few steps', () => {
  const lines = Array.from({ length: 5000 }, (_, at): Line => {
    const value = at >> 1;
    return at % 2 === 0
      ? [...write(value), at * 10, at * 10 + 35]
      : [...read(value), at * 10, at * 10 + 5];
  });
  const result = judge(historyOf(...lines));
  equal(result.verdict, 'ok');
  equal(result.steps < 100_000, true, `${result.steps} steps`);
});
