// What shows only in a whole history: keys side by side, revisions between them, reads that may be old.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { checkHistory } from '../../linearizability/check-history.ts';
import { describeReport } from '../../linearizability/describe.ts';
import { drawOptions, generateHistory } from '../../linearizability/generate.ts';
import { parseHistory } from '../../linearizability/history-file.ts';
import type { Operation } from '../../linearizability/operations.ts';

/** A history of operations that take 10 ns each and come 20 ns apart, unless they say otherwise. */
function historyOf(...lines: readonly object[]): readonly Operation[] {
  const text = lines.map((line, at) => {
    const usual = { client: 1, id: at + 1, callNs: at * 20, returnNs: at * 20 + 10 };
    return `${JSON.stringify({ ...usual, ...line })}\n`;
  });
  return parseHistory(text.join(''), 'history');
}

const [a, b] = [{ name: 'EtlSource/default/a' }, { name: 'EtlSource/default/b' }];

function create(object: { readonly name: string }, version: number, spec = 's'): object {
  return { op: 'create', in: { ...object, spec }, out: { version } };
}

function stale(out: object, object: { readonly name: string } = a): object {
  return { op: 'getStale', in: object, out };
}

function complaints(...lines: readonly object[]): readonly string[] {
  return checkHistory(historyOf(...lines)).problems.map(
    ({ operation, message }) => `${operation.id} ${message}`,
  );
}

test('keys are checked one by one, and one that is wrong is enough', () => {
  const report = checkHistory(
    historyOf(
      create(a, 1),
      create(b, 2),
      { op: 'get', in: a, out: { version: 1, spec: 's' } },
      { op: 'get', in: b, out: { error: 'notFound' } },
      { op: 'get', in: b, out: null, returnNs: null },
      { op: 'get', in: b, out: { error: 'refused' } },
    ),
  );
  deepEqual(
    [report.verdict, report.operations, report.unanswered, report.refused],
    ['illegal', 6, 1, 1],
  );
  deepEqual(
    report.keys.map(({ key, operations, result }) => [key, operations, result.verdict]),
    [
      ['object EtlSource/default/a', 2, 'ok'],
      ['object EtlSource/default/b', 4, 'illegal'],
    ],
  );
});

test('what is said of a wrong history can be read', () => {
  const report = checkHistory(
    historyOf(
      create(a, 3),
      { op: 'update', in: { ...a, spec: 't' }, out: null, returnNs: null },
      { op: 'get', in: a, out: { version: 3, spec: 't' } },
    ),
  );
  deepEqual(describeReport(report), [
    'illegal: 3 operations on 1 keys, 1 of unknown outcome, 0 refused',
    '',
    'object EtlSource/default/a is not linearizable: no order of its operations explains operation 3',
    '  these fit, one after the other:',
    '    #1 client 1 0.000000 ms to 0.000010 ms create {"name":"EtlSource/default/a","spec":"s"} -> {"version":3}',
    '    #2 client 1 0.000020 ms to never update {"name":"EtlSource/default/a","spec":"t"} -> not known',
    '  which leaves: version 4 or more, spec "t"',
    '  and one of these would come next, but none fits:',
    '    #3 client 1 0.000040 ms to 0.000050 ms get {"name":"EtlSource/default/a"} -> {"version":3,"spec":"t"}',
  ]);
});

test('a key that is not decided makes a history that is not decided, unless another is wrong', () => {
  const writes = Array.from({ length: 9 }, (_, value) => ({
    ...{ op: 'writeRegister', in: { register: 1, value }, out: {} },
    ...{ callNs: 0, returnNs: 10 },
  }));
  const never = { op: 'readRegister', in: { register: 1 }, out: { value: 99 }, callNs: 20 };
  const budget = { maxSteps: 100 };
  const report = checkHistory(historyOf(...writes, never), budget);
  equal(report.verdict, 'undecided');
  equal(describeReport(report)[2]?.startsWith('register 1 is not decided after'), true);
  const alsoWrong = { op: 'readRegister', in: { register: 2 }, out: { value: 99 } };
  equal(checkHistory(historyOf(...writes, never, alsoWrong), budget).verdict, 'illegal');
});

test('a revision that is made later is higher, whatever key it is of', () => {
  deepEqual(complaints(create(a, 5), create(b, 6)), []);
  deepEqual(complaints(create(a, 5), create(b, 4)), [
    '2 was given 4, but operation 1 was told of 5 before',
  ]);
  deepEqual(complaints(create(a, 5), create(b, 5)), [
    '2 was given 5, but operation 1 was told of 5 before',
  ]);
  const lane = { op: 'acquireEpoch', in: { lane: 'default/p/in/0' } };
  deepEqual(complaints(create(a, 5), { ...lane, out: { epoch: 4, position: '' } }), [
    '2 was given 4, but operation 1 was told of 5 before',
  ]);
  deepEqual(complaints(create(a, 5), { ...create(b, 4), callNs: 10 }), [], 'at the same time');
  const update = { op: 'update', in: { ...b, spec: 's' } };
  deepEqual(
    complaints(create(b, 3), create(a, 5), { ...update, out: { version: 3, changed: false } }),
    [],
    'one that changes nothing makes no revision',
  );
});

test('a stale read shows what was there, as of its revision', () => {
  const update = { op: 'update', in: { ...a, spec: 't' }, out: { version: 7, changed: true } };
  const before = [create(a, 5), update];
  deepEqual(complaints(...before, stale({ version: 5, spec: 's' })), []);
  deepEqual(complaints(...before, stale({ version: 5, spec: 's', revision: 6 })), []);
  deepEqual(complaints(...before, stale({ version: 7, spec: 't', revision: 9 })), []);
  deepEqual(complaints(...before, stale({ error: 'notFound' })), []);
  deepEqual(complaints(...before, stale({ error: 'notFound', revision: 4 })), []);
  deepEqual(complaints(...before, stale({ version: 5, spec: 't' })), [
    '3 shows spec "t" at version 5, which has "s"',
  ]);
  deepEqual(complaints(...before, stale({ version: 6, spec: 'u' })), [
    '3 shows version 6 with spec "u", which nobody had written',
  ]);
  deepEqual(complaints(...before, stale({ version: 5, spec: 's', revision: 8 })), [
    '3 shows version 5 at revision 8, where version 7 was there',
  ]);
  deepEqual(complaints(...before, stale({ version: 5, spec: 's', revision: 4 })), [
    '3 shows version 5 at revision 4',
  ]);
  deepEqual(complaints(...before, stale({ error: 'notFound', revision: 5 })), [
    '3 finds nothing at revision 5, where version 5 was written',
  ]);
  deepEqual(complaints(stale({ version: 5, spec: 's' }), create(a, 5)), [
    '2 was given 5, but operation 1 was told of 5 before',
    '1 shows version 5 with spec "s", which nobody had written',
  ]);
  deepEqual(
    complaints(
      { op: 'create', in: { ...a, spec: 's' }, out: null, returnNs: null },
      stale({ version: 5, spec: 's' }),
    ),
    [],
    'written by one whose outcome is not known',
  );
});

test('what the state machine answers is what the models take, in histories of every subject', () => {
  const told = new Map<string, number>();
  for (let seed = 1; seed <= 150; seed++) {
    const history = generateHistory(drawOptions(seed));
    const report = checkHistory(history);
    equal(report.verdict, 'ok', `seed ${seed}: ${describeReport(report).join('\n')}`);
    for (const { op, out } of history) {
      const name = `${op} ${out === null ? 'unknown' : (out.error ?? 'done')}`;
      told.set(name, (told.get(name) ?? 0) + 1);
    }
  }
  const wanted = [
    ...['create done', 'create conflict', 'create unknown', 'update done', 'update conflict'],
    ...['delete done', 'delete conflict', 'delete notFound', 'get done', 'get notFound'],
    ...['getStale done', 'getStale notFound', 'acquireEpoch done', 'acquireEpoch unknown'],
    ...['commitPosition done', 'commitPosition fenced', 'commitPosition conflict'],
    ...['commitPosition invalid', 'commitPosition notFound', 'getLane done', 'getLane notFound'],
    ...['commitGroupPosition done', 'commitGroupPosition conflict', 'commitGroupPosition fenced'],
    ...['getGroupPosition done', 'getGroupPosition notFound'],
    ...['writeRegister done', 'swapRegister done', 'readRegister done', 'get refused'],
  ];
  const missing = wanted.filter((name) => (told.get(name) ?? 0) < 5);
  deepEqual(missing, [], JSON.stringify([...told]));
});
