import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BatchBuilder,
  fieldName,
  isEtlError,
  ownField,
  parseJson,
  positionOfCount,
} from '@etl-router/core';
import fc from 'fast-check';

/** What `field` gives for a payload, and what parsing gives; `malformed` where either throws. */
function bothWays(payload: Buffer, name: string): readonly [unknown, unknown] {
  const builder = new BatchBuilder();
  builder.append({ position: positionOfCount(0), payload });
  const lane = { pipeline: 'n/p', source: 's', partition: '0' };
  const batch = builder.build({ lane, epoch: 1, firstSequence: 0, watermark: undefined });
  const guarded = (read: () => unknown): unknown => {
    try {
      return read();
    } catch (error) {
      assert.ok(isEtlError(error) && error.code === 'ETL_RECORD_MALFORMED');
      return 'malformed';
    }
  };
  return [
    guarded(() => batch.field(0, fieldName(name))),
    guarded(() => ownField(parseJson(payload), name)),
  ];
}

function same(text: string | Buffer, name: string): void {
  const payload = Buffer.isBuffer(text) ? text : Buffer.from(text);
  const [scanned, parsed] = bothWays(payload, name);
  assert.deepEqual(scanned, parsed, `${name} of ${JSON.stringify(payload.toString())}`);
}

const names = fc.constantFrom('a', 'b', '', 'a b', '__proto__', 'constructor', 'é', 'a"', '\u0000');

test('a field of any JSON value is what parsing the value gives', () => {
  const space = fc.constantFrom('', ' ', '\n\t', '\r\n  ');
  const key = fc.oneof(names, fc.string({ maxLength: 3 })).map((name) => JSON.stringify(name));
  const escaped = fc.constantFrom('"\\u0061"', '"a\\u0020b"', '"\\/"');
  const leaf = fc.oneof(
    fc.json({ maxDepth: 2 }),
    fc.constantFrom(
      '-0',
      '1e400',
      '-1.5E+3',
      '9007199254740993',
      '123456789012345',
      '1234567890123456',
      '0.1',
      'true',
      'false',
      'null',
      '"é😀"',
    ),
  );
  const member = fc
    .tuple(space, fc.oneof(key, escaped), space, leaf, space)
    .map(([a, k, b, v, c]) => `${a}${k}${b}:${c}${v}${a}`);
  const object = fc
    .tuple(space, fc.array(member, { maxLength: 5 }), space)
    .map(([a, members, b]) => `${a}{${members.join(',')}}${b}`);
  fc.assert(
    fc.property(
      fc.oneof({ weight: 5, arbitrary: object }, { weight: 1, arbitrary: fc.json() }),
      names,
      same,
    ),
    { numRuns: 3000 },
  );
});

test('a field of a damaged text is what parsing the text gives', () => {
  const base = fc.constantFrom(
    '{"a":1,"b":[1,{"x":"y"}],"a":2}',
    '{"a":"text","b":-1.5e3}',
    ' {"a" : true , "b":null}\n',
    '{"a":{"b":[]},"b":{}}',
  );
  const piece = fc.constantFrom(
    '"',
    '\\',
    ',',
    ':',
    '{',
    '}',
    '[',
    ']',
    '0',
    '01',
    '1.',
    '.5',
    '+1',
    '1e',
    '-',
    'tru',
    'nul',
    ' ',
    '\u0001',
    '\ufeff',
    'NaN',
    '//',
  );
  const edit = fc.record({ at: fc.nat(40), remove: fc.nat(2), insert: fc.option(piece) });
  fc.assert(
    fc.property(
      base,
      fc.array(edit, { minLength: 1, maxLength: 3 }),
      names,
      (text, edits, name) => {
        let damaged = text;
        for (const { at, remove, insert } of edits) {
          damaged = damaged.slice(0, at) + (insert ?? '') + damaged.slice(at + remove);
        }
        same(damaged, name);
      },
    ),
    { numRuns: 5000 },
  );
});

test('bytes that are not UTF-8 read as parsing reads them', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 8 }),
      fc.uint8Array({ maxLength: 8 }),
      (inKey, inValue) => {
        const parts = ['{"', inKey, '":1,"a":"', inValue, '"}'];
        same(Buffer.concat(parts.map((part) => Buffer.from(part as string))), 'a');
      },
    ),
    { numRuns: 2000 },
  );
});

test('texts that are deep, empty or no object read as parsing reads them', () => {
  for (const text of [
    '',
    ' ',
    '{}',
    '{ } ',
    '{}x',
    '[]',
    '5',
    '"a"',
    'null',
    '{"a":1',
    '{"a"}',
    '{,}',
    '{"a":1,}',
  ])
    same(text, 'a');
  same(`{"b":${'['.repeat(50)}${']'.repeat(50)},"a":1}`, 'a');
  same(`{"b":${'['.repeat(50)}${']'.repeat(49)},"a":1}`, 'a');
  same(`{"a":${'{"a":'.repeat(20)}1${'}'.repeat(20)}}`, 'a');
});
