import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileCondition, isEvaluationFailure } from '@etl-router/pipeline';
import { interpretCondition } from '@etl-router/pipeline/testing';
import fc from 'fast-check';
import { batchOf } from './records.ts';

const literal = fc.oneof(
  fc.integer({ min: -2, max: 2 }).map(String),
  fc.constantFrom(
    '0.5',
    '-0.0',
    '9007199254740993',
    '9007199254740992',
    "'x'",
    "''",
    'true',
    'false',
    'null',
    '1u',
    "b'x'",
  ),
);
const path = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      'record.data.a',
      'record.data.b',
      "record.data['a']",
      'record.data.o.p',
      'record.data.o.p.q',
      'record.data',
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      'record.type',
      'record.source',
      'record.partition',
      "record.headers['h']",
      'record.headers.g',
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'record.data.l[0]',
      'record.key',
      'record.eventTime',
      'size(record.type)',
    ),
  },
);
const operator = fc.constantFrom('==', '!=', '<', '<=', '>', '>=');
const atom = fc.oneof(
  fc.tuple(path, operator, literal).map((parts) => parts.join(' ')),
  fc.tuple(literal, operator, path).map((parts) => parts.join(' ')),
  fc
    .tuple(path, fc.array(literal, { maxLength: 3 }))
    .map(([left, list]) => `${left} in [${list.join(', ')}]`),
  path,
  fc.constantFrom(
    'has(record.data.a)',
    'has(record.data.o.p)',
    'has(record.data.o.p.q)',
    'has(record.headers.h)',
    'has(record.eventTime)',
    'has(record.data.l.x)',
  ),
  fc
    .tuple(
      path,
      fc.constantFrom('startsWith', 'endsWith', 'contains', 'matches'),
      fc.constantFrom("'x'", "''", "'^x+'"),
    )
    .map(([left, method, text]) => `${left}.${method}(${text})`),
  fc.constantFrom('true', 'false'),
);
const formula: fc.Arbitrary<string> = fc.letrec<{ formula: string }>((tie) => ({
  formula: fc.oneof(
    { maxDepth: 3 },
    atom,
    tie('formula').map((inner) => `!(${inner})`),
    fc
      .tuple(tie('formula'), fc.constantFrom('&&', '||'), tie('formula'))
      .map(([a, op, b]) => `(${a}) ${op} (${b})`),
  ),
})).formula;

const scalar = fc.oneof(
  fc.integer({ min: -2, max: 2 }).map(String),
  fc.constantFrom(
    '0.5',
    '-0.0',
    '9007199254740993',
    '"x"',
    '"xx"',
    '""',
    'true',
    'false',
    'null',
    '[1]',
    '{}',
  ),
);
const payload = fc
  .dictionary(fc.constantFrom('a', 'b', 'l', 'constructor', '__proto__', 'toString'), scalar)
  .chain((fields) =>
    fc
      .option(fc.dictionary(fc.constantFrom('p', 'q'), fc.oneof(scalar, fc.constant('{"q":true}'))))
      .map((inner) => {
        const members = Object.entries(fields).map(
          ([name, text]) => `${JSON.stringify(name)}:${text}`,
        );
        if (inner !== null) {
          const o = Object.entries(inner).map(([name, text]) => `${JSON.stringify(name)}:${text}`);
          members.push(`"o":{${o.join(',')}}`);
        }
        return `{${members.join(',')}}`;
      }),
  );
const anyPayload = fc.oneof(
  { weight: 8, arbitrary: payload },
  { weight: 1, arbitrary: scalar },
  { weight: 1, arbitrary: fc.constant('not json') },
);
const headers = fc.dictionary(fc.constantFrom('h', 'g'), fc.constantFrom('x', ''));

test('the fast path means exactly what the interpreter means, failures included', () => {
  fc.assert(
    fc.property(formula, anyPayload, headers, (cel, text, given) => {
      let interpreted: ReturnType<typeof interpretCondition>;
      try {
        interpreted = interpretCondition(cel);
      } catch {
        assert.throws(() => compileCondition({ cel }));
        return;
      }
      const record = {
        type: 'x',
        headers: new Map(Object.entries(given)),
        payload: Buffer.from(text),
      };
      const batch = batchOf(record);
      const [fast, slow] = [compileCondition({ cel }), interpreted].map((condition) => {
        const result = condition.test(batch, 0);
        return isEvaluationFailure(result) ? result.code : result;
      });
      assert.equal(fast, slow, `${cel} on ${text}`);
    }),
    { numRuns: 5000 },
  );
});
