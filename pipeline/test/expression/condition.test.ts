import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { type RecordBatch, timestampOfMs } from '@etl-router/core';
import {
  compileCondition,
  compileExpression,
  EvaluationFailure,
  isEvaluationFailure,
} from '@etl-router/pipeline';
import fc from 'fast-check';
import { batchOf } from './records.ts';

function outcome(cel: string, batch: RecordBatch, index = 0): boolean | string {
  const result = compileCondition({ cel }).test(batch, index);
  return isEvaluationFailure(result) ? result.code : result;
}

const order = batchOf({
  type: 'order',
  key: Buffer.from('k1'),
  headers: new Map([['op', 'u']]),
  eventTime: timestampOfMs(Date.UTC(2024, 0, 2)),
  payload: Buffer.from(
    '{"amount":11,"name":"joe","big":9007199254740993,"none":null,"on":true,"tags":["a","b"],"at":{"city":"Rome"},"f":1.5}',
  ),
});

test('conditions see every part of the record', () => {
  const cases: readonly (readonly [string, boolean | string])[] = [
    ["record.type == 'order'", true],
    ["record.key == 'k1'", true],
    ["record.headers['op'] == 'u'", true],
    ["record.headers.op != 'u'", false],
    ["'op' in record.headers", true],
    ['has(record.headers.nope)', false],
    ["record.source == 'orders' && record.partition == '7'", true],
    ["record.id == 'orders/7/0000000000000000'", true],
    ["record.eventTime > timestamp('2024-01-01T00:00:00Z')", true],
    ['record.data.amount > 10', true],
    ['record.data.amount == 11', true],
    ['record.data.amount in [1, 11]', true],
    ['record.data.amount + 1 == 12.0', true],
    ['record.data.amount % 2 == 1.0', true],
    ['record.data.big == 9007199254740993', true],
    ['record.data.big > 9007199254740992', true],
    ['record.data.none == null', true],
    ['record.data.on', true],
    ['!record.data.on', false],
    ["record.data.at.city == 'Rome'", true],
    ["record.data['at']['city'].startsWith('R')", true],
    ["record.data.tags.exists(t, t == 'b')", true],
    ['record.data.name == 5', false],
    ["record.data.name.matches('^j.e$')", true],
    ['has(record.data.at.city) && size(record.data.tags) == 2', true],
  ];
  for (const [cel, expected] of cases) assert.equal(outcome(cel, order), expected, cel);
});

test('what has no value is a failure with its reason, not an exception', () => {
  const cases: readonly (readonly [string, string | boolean])[] = [
    ['record.data.missing > 1', 'NO_SUCH_FIELD'],
    ['record.data.at.street == 1', 'NO_SUCH_FIELD'],
    ["record.headers['zz'] == 'x'", 'NO_SUCH_FIELD'],
    ['record.data.tags[9] == "x"', 'NO_SUCH_FIELD'],
    ['record.data.name > 5', 'WRONG_TYPE'],
    ['record.data.none > 5', 'WRONG_TYPE'],
    ['record.data.name', 'WRONG_TYPE'],
    ['record.data.on && record.data.name', 'WRONG_TYPE'],
    ['int(record.data.name) > 1', 'CONVERSION'],
    ['int(record.data.amount) / 0 > 1', 'ARITHMETIC'],
    ['record.data.missing > 1 || record.data.on', true],
    ['record.data.on || record.data.missing > 1', true],
    ['record.data.missing > 1 && record.data.amount > 100', false],
    ['has(record.data.missing) && record.data.missing > 1', false],
  ];
  for (const [cel, expected] of cases) assert.equal(outcome(cel, order), expected, cel);
  assert.equal(outcome('record.data.a > 1', batchOf('not json')), 'MALFORMED_PAYLOAD');
  assert.equal(outcome('has(record.eventTime)', batchOf('{}')), false);
});

test('a failure never quotes the payload', () => {
  const secret = batchOf('{"name":"s3cret","amount":1}');
  for (const cel of [
    'int(record.data.name) > 1',
    'record.data[record.data.name] == 1',
    'duration(record.data.name) > duration("1s")',
  ]) {
    const failure = compileCondition({ cel }).test(secret, 0);
    assert.ok(failure instanceof EvaluationFailure);
    assert.doesNotMatch(failure.message, /s3cret/);
  }
});

test('a payload field named constructor is a field like any other', () => {
  const batch = batchOf(
    '{"constructor":{"name":"Brabham"},"year":1966}',
    '{"a":{"\\u0063onstructor":1}}',
  );
  assert.equal(
    outcome("record.data.constructor.name == 'Brabham' && record.data.year == 1966", batch),
    true,
  );
  assert.equal(
    outcome('size(record.data.a) == 1 && record.data.a.constructor == 1', batch, 1),
    true,
  );
  assert.deepEqual(compileExpression('record.data').evaluate(batch, 1), { a: { constructor: 1 } });
});

test('needs tell whether payload and headers are read at all', () => {
  const cases: readonly (readonly [string, boolean, boolean])[] = [
    ["record.type == 'a'", false, false],
    ["record.headers['a'] == 'a'", false, true],
    ['has(record.data.a)', true, false],
    ["record['data'].a == 1 || record['headers'].b == 'c'", true, true],
    ['[record].size() == 1', true, true],
    ["['a'].exists(x, record.data.a == x)", true, false],
  ];
  for (const [cel, data, headers] of cases) {
    assert.deepEqual(compileCondition({ cel }).needs, { data, headers }, cel);
  }
  const broken = batchOf({ type: 'a', payload: Buffer.from('not json') });
  assert.equal(outcome("record.type == 'a'", broken), true);
});

test('expressions that are wrong, too large or too deep are refused when they are compiled', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /refused at character 1/],
    ['1 +', /refused at character 4/],
    ['record.nope == 1', /No such key: nope/],
    ['unknown == 1', /Unknown variable/],
    ['record.type == 5', /no such overload/],
    ['1 + 1', /gives int; a condition is true or false/],
    ['('.repeat(5000) + ')'.repeat(5000), /maxDepth/],
    [`${'!'.repeat(5000)}true`, /too deeply|maxAstNodes/],
    [`record.data${'.a'.repeat(5000)}`, /maxDepth/],
    [`true${' && true'.repeat(1500)}`, /maxAstNodes/],
    [`'${'x'.repeat(20_000)}' == ''`, /longer than 16384 bytes/],
    ['[1].all(a, [1].all(b, [1].all(c, [1].all(d, true))))', /nests more than 3/],
    ['cel.bind(x, 1, x == 1)', /cel\.bind/],
    ["'a'.matches(record.type)", /literal/],
    ["'a'.matches('(')", /pattern is refused/],
    ["'a'.matches('(?=a)')", /pattern is refused/],
    ['[1].all(record, true)', /variable of its own/],
  ];
  for (const [cel, message] of cases) {
    assert.throws(() => compileCondition({ cel }), message, cel.slice(0, 40));
  }
});

test('evaluations that would take long are cut within a moment', () => {
  const list = Array.from({ length: 1000 }, (_, index) => index);
  const batch = batchOf(JSON.stringify({ l: list, s: 'x'.repeat(100_000) }));
  const bombs = [
    'record.data.l.all(x, record.data.l.all(y, record.data.l.all(z, true)))',
    'record.data.l.exists(x, record.data.l.exists(y, record.data.l.exists(z, false)))',
    'record.data.l.all(x, record.data.l.all(y, record.data.l.all(z, true))) || true',
    'record.data.l.map(x, record.data.l.map(y, x)).size() == 1',
    'record.data.l.map(x, record.data.s).join("").size() > 1',
    'record.data.l.map(x, "a").join(record.data.s).size() > 1',
    'record.data.l.all(x, record.data.s.split("").size() > 1)',
    'record.data.l.all(x, record.data.l == record.data.l.map(y, y))',
    'record.data.l.all(x, !(record.data.s in [record.data.s + "a"]))',
    'record.data.l.all(x, record.data.s < record.data.s + "a")',
    'record.data.l.all(x, record.data.s.matches("(x+x+)+y") == false)',
    '[record.data.s].map(a, [a+a+a+a+a+a+a+a].map(b, [b+b+b+b+b+b+b+b].map(c, c+c+c+c+c+c+c+c))).size() == 9',
  ];
  for (const bomb of bombs) {
    const condition = compileCondition({ cel: bomb });
    const before = process.cpuUsage();
    const result = condition.test(batch, 0);
    const tookMs = process.cpuUsage(before).user / 1000;
    assert.ok(isEvaluationFailure(result) && result.code === 'COST_EXCEEDED', bomb);
    assert.ok(tookMs < 5000, `${bomb} took ${tookMs} ms`);
  }
});

test('the value of an expression is JSON', () => {
  const cases: readonly (readonly [string, unknown])[] = [
    ['record.data.amount + 1', 12],
    ['size(record.data.tags)', 2],
    ['record.data.big + 1', 9007199254740994n],
    ['record.type + "-" + record.data.name', 'order-joe'],
    ['record.eventTime', '2024-01-02T00:00:00.000Z'],
    ['duration("90s")', '90s'],
    ['b"abc"', 'YWJj'],
    ['5u', 5],
    ['{"a": record.data.at, "b": [1, "x", null]}', { a: { city: 'Rome' }, b: [1, 'x', null] }],
    ['record.data.tags.map(t, t + "!")', ['a!', 'b!']],
    ['record.headers', { op: 'u' }],
    ['record.data.on ? "yes" : "no"', 'yes'],
  ];
  for (const [text, expected] of cases) {
    assert.deepEqual(compileExpression(text).evaluate(order, 0), expected, text);
  }
  const failure = compileExpression('record.data.missing').evaluate(order, 0);
  assert.ok(isEvaluationFailure(failure) && failure.code === 'NO_SUCH_FIELD');
});

interface Formula {
  readonly cel: string;
  /** What it means; undefined where a part has no value. */
  readonly means: (data: { readonly [name: string]: unknown }) => boolean | undefined;
}

const formulas: fc.Arbitrary<Formula> = fc.letrec<{ formula: Formula; leaf: Formula }>((tie) => ({
  leaf: fc
    .record({
      name: fc.constantFrom('a', 'b', 'c'),
      operator: fc.constantFrom('>', '<', '>=', '<=', '==', '!='),
      bound: fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constant(0.5), fc.constantFrom('x', 'y')),
    })
    .map(({ name, operator, bound }): Formula => {
      const literal = typeof bound === 'string' ? `'${bound}'` : String(bound);
      return {
        cel: `record.data.${name} ${operator} ${literal}`,
        means: (data) => naiveCompare(data[name], operator, bound),
      };
    }),
  formula: fc.oneof(
    { maxDepth: 4 },
    tie('leaf'),
    tie('formula').map(
      ({ cel, means }): Formula => ({
        cel: `!(${cel})`,
        means: (data) => {
          const value = means(data);
          return value === undefined ? undefined : !value;
        },
      }),
    ),
    fc.tuple(tie('formula'), fc.boolean(), tie('formula')).map(
      ([left, isAnd, right]): Formula => ({
        cel: `(${left.cel}) ${isAnd ? '&&' : '||'} (${right.cel})`,
        means: (data) => {
          const values = [left.means(data), right.means(data)];
          if (values.includes(!isAnd)) return !isAnd;
          return values.includes(undefined) ? undefined : isAnd;
        },
      }),
    ),
  ),
})).formula;

function naiveCompare(
  value: unknown,
  operator: string,
  bound: number | string,
): boolean | undefined {
  if (value === undefined) return undefined;
  if (operator === '==') return value === bound;
  if (operator === '!=') return value !== bound;
  if (typeof value !== typeof bound) return undefined;
  const [a, b] = [value as number, bound as number];
  return { '>': a > b, '<': a < b, '>=': a >= b, '<=': a <= b }[operator];
}

const payloads = fc.dictionary(
  fc.constantFrom('a', 'b', 'c', 'd'),
  fc.oneof(
    fc.integer({ min: -3, max: 3 }),
    fc.constant(0.5),
    fc.constantFrom('x', 'y', ''),
    fc.boolean(),
    fc.constant(null),
  ),
);

test('compiled conditions mean what a naive reading of them means', () => {
  fc.assert(
    fc.property(formulas, fc.array(payloads, { minLength: 1, maxLength: 5 }), (formula, data) => {
      const condition = compileCondition({ cel: formula.cel });
      const batch = batchOf(...data.map((value) => JSON.stringify(value)));
      for (const [index, value] of data.entries()) {
        const result = condition.test(batch, index);
        const expected = formula.means(value);
        assert.equal(
          isEvaluationFailure(result) ? undefined : result,
          expected,
          `${formula.cel} on ${JSON.stringify(value)}`,
        );
      }
    }),
    { numRuns: 300 },
  );
});

test('text that people did not write is refused or compiled, never anything else', () => {
  const words = fc.constantFrom(
    'record',
    '.',
    'data',
    'type',
    '==',
    '&&',
    '(',
    ')',
    '[',
    ']',
    "'a'",
    '1',
    '!',
    '-',
    'in',
    'has',
    ',',
    '?',
    ':',
    '{',
    '}',
    'matches',
    'map',
    'x',
    '+',
  );
  fc.assert(
    fc.property(
      fc.array(words, { maxLength: 15 }).map((parts) => parts.join(' ')),
      (cel) => {
        try {
          compileCondition({ cel }).test(order, 0);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'ETL_INVALID_ARGUMENT', cel);
        }
      },
    ),
    { numRuns: 1000 },
  );
});
