import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ConditionTree,
  compileCondition,
  Findings,
  readCondition,
} from '@etl-router/pipeline';
import fc from 'fast-check';
import { batchOf } from './records.ts';

interface Plain {
  readonly type: string;
  readonly headers: { readonly [name: string]: string };
}

function naive(tree: ConditionTree, record: Plain): boolean {
  const has = (key: string): boolean => Object.hasOwn(record.headers, key);
  if (tree.recordType !== undefined && record.type !== tree.recordType) return false;
  if (tree.metadataExists !== undefined && !has(tree.metadataExists)) return false;
  const { metadataEquals: equals, metadataMatches: matches, metadataCompare: compare } = tree;
  if (equals && !(has(equals.key) && record.headers[equals.key] === equals.value)) return false;
  if (matches) {
    if (!has(matches.key)) return false;
    if (!new RegExp(matches.pattern).test(record.headers[matches.key] as string)) return false;
  }
  if (compare) {
    if (!has(compare.key)) return false;
    const text = (record.headers[compare.key] as string).trim();
    if (text === '' || Number.isNaN(Number(text))) return false;
    const value = Number(text);
    const holds = {
      '>': value > compare.value,
      '<': value < compare.value,
      '>=': value >= compare.value,
      '<=': value <= compare.value,
    };
    if (!holds[compare.operator]) return false;
  }
  if (tree.and && !tree.and.every((branch) => naive(branch, record))) return false;
  if (tree.or && !tree.or.some((branch) => naive(branch, record))) return false;
  return !(tree.not && naive(tree.not, record));
}

const key = fc.constantFrom('a', 'b', 'c');
const word = fc.constantFrom('x', 'y', '1', '2.5', ' 3 ', '', 'NaN', '-1');
const trees = fc.letrec<{ tree: ConditionTree }>((tie) => ({
  tree: fc.record(
    {
      recordType: fc.constantFrom('order', 'click'),
      metadataExists: key,
      metadataEquals: fc.record({ key, value: word }),
      metadataMatches: fc.record({
        key,
        pattern: fc.constantFrom('^x', 'y$', '[0-9]+', '(x|y)', ''),
      }),
      metadataCompare: fc.record({
        key,
        operator: fc.constantFrom('>' as const, '<' as const, '>=' as const, '<=' as const),
        value: fc.integer({ min: -2, max: 3 }),
      }),
      and: fc.array(tie('tree'), { maxLength: 3, depthIdentifier: 'tree' }),
      or: fc.array(tie('tree'), { maxLength: 3, depthIdentifier: 'tree' }),
      not: fc.option(tie('tree'), {
        nil: undefined as never,
        depthIdentifier: 'tree',
        maxDepth: 3,
      }),
    },
    { requiredKeys: [] },
  ) as fc.Arbitrary<ConditionTree>,
})).tree;

const records = fc.record({
  type: fc.constantFrom('order', 'click', ''),
  headers: fc.dictionary(key, word),
});

test('compiled trees mean what a naive reading of them means', () => {
  fc.assert(
    fc.property(trees, fc.array(records, { minLength: 1, maxLength: 4 }), (tree, plain) => {
      const condition = compileCondition({ tree });
      const batch = batchOf(
        ...plain.map(({ type, headers }) => ({ type, headers: new Map(Object.entries(headers)) })),
      );
      for (const [index, record] of plain.entries()) {
        assert.equal(condition.test(batch, index), naive(tree, record));
      }
    }),
  );
});

test('both spellings and always and never are read', () => {
  const read = (value: Parameters<typeof readCondition>[1]['value']): unknown => {
    const findings = new Findings('test');
    const condition = readCondition(findings, { value, path: 'when' });
    return findings.list.length > 0
      ? findings.list.map(({ code, path }) => `${code} ${path}`)
      : condition;
  };
  assert.deepEqual(
    read({
      record_type: 'order',
      metadata_equals: { key: 'a', value: 'b' },
      not: { metadata_exists: 'c' },
    }),
    {
      tree: {
        recordType: 'order',
        metadataEquals: { key: 'a', value: 'b' },
        not: { metadataExists: 'c' },
      },
    },
  );
  assert.deepEqual(read({ metadataCompare: { key: 'n', operator: '>=', value: 3 } }), {
    tree: { metadataCompare: { key: 'n', operator: '>=', value: 3 } },
  });
  assert.deepEqual(read({ always: true }), { tree: { and: [] } });
  assert.deepEqual(read({ never: true }), { tree: { or: [] } });
  assert.deepEqual(read({ always: false }), ['BadValue when.always']);
  assert.deepEqual(read({ not: { never: false } }), ['BadValue when.not.never']);
  assert.deepEqual(read('record.type == "a"'), { cel: 'record.type == "a"' });
  assert.deepEqual(read({ expression: 'true' }), { cel: 'true' });
  assert.deepEqual(read({}), ['MissingField when']);
  assert.deepEqual(read({ record_tipe: 'a' }), ['UnknownField when.record_tipe']);
  assert.deepEqual(read({ metadata_equals: { key: 'a' } }), [
    'MissingField when.metadata_equals.value',
  ]);
  assert.deepEqual(read({ metadataCompare: { key: 'a', operator: '~', value: 1 } }), [
    'BadValue when.metadataCompare.operator',
  ]);
  assert.deepEqual(read({ and: [{ or: 5 }] }), ['WrongType when.and[0].or']);
  let deep: Parameters<typeof read>[0] = { record_type: 'a' };
  for (let level = 0; level < 100; level++) deep = { not: deep };
  assert.match(JSON.stringify(read(deep)), /TooLarge/);
});
