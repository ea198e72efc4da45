import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { parseJson } from '@etl-router/core';
import { parseYaml, readYaml } from '@etl-router/pipeline';
import fc from 'fast-check';

function only(text: string | Uint8Array): {
  readonly code: string;
  readonly line?: number | undefined;
} {
  const { documents, problems } = readYaml(text);
  assert.equal(documents.length, 0);
  assert.equal(problems.length, 1);
  return problems[0] as NonNullable<(typeof problems)[0]>;
}

test('64-bit integers stay exact and larger ones are refused', () => {
  const { documents } = readYaml(
    'a: 9007199254740993\nb: -9223372036854775808\nc: 0xFFFFFFFFFFFFFFFF\nd: 7',
  );
  assert.deepEqual(documents[0]?.value, {
    a: 9007199254740993n,
    b: -9223372036854775808n,
    c: 18446744073709551615n,
    d: 7,
  });
  assert.equal(only('x: 1\ny: 18446744073709551616').code, 'BadValue');
});

test('YAML of JSON values reads back as the same values', () => {
  fc.assert(
    fc.property(
      fc.jsonValue().filter((value) => !JSON.stringify(value).includes('__proto__')),
      (value) => {
        const text = JSON.stringify([value]).replaceAll('\u007f', '\\u007f');
        fc.pre(!/\d{19}/.test(text));
        assert.deepEqual(parseYaml(text, 'the text'), parseJson(Buffer.from(text)));
      },
    ),
    { examples: [['\u2028'], [{ 'a b': ['\u0085', -0] }]] },
  );
});

test('text that is not what it should be is refused with a reason, never an exception', () => {
  const cases: readonly (readonly [string | Uint8Array, string, RegExp])[] = [
    ['a: 1\na: 2', 'Syntax', /duplicated mapping key/],
    ['a: !!js/function x', 'Syntax', /unknown scalar tag/],
    ['a:\n\tb: 1', 'Syntax', /tab indents/],
    [Buffer.from('\ufeffa: 1', 'utf16le'), 'Syntax', /UTF-16; save it as UTF-8/],
    [Buffer.from('a: 1', 'utf16le'), 'Syntax', /NUL/],
    [new Uint8Array([0x61, 0xff]), 'Syntax', /not UTF-8/],
    ['['.repeat(5000), 'TooLarge', /maxDepth/],
    ['{a: '.repeat(5000), 'TooLarge', /maxDepth/],
    [`a: "${'x'.repeat(1024 * 1024)}"`, 'TooLarge', /bytes are more than/],
    ['--- 1\n'.repeat(1001), 'TooLarge', /1001 documents/],
    ['a: .nan', 'BadValue', /finite/],
    ['a: &x [*x]', 'TooLarge', /deeper/],
    ['__proto__: {admin: true}', 'BadValue', /__proto__/],
    ['a: [', 'Syntax', /./],
  ];
  for (const [text, code, message] of cases) {
    const problem = only(text);
    assert.equal(problem.code, code, String(text).slice(0, 40));
    assert.match((problem as unknown as { message: string }).message, message);
  }
});

test('an alias bomb is refused at once', () => {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let level = 1; level < 10; level++) {
    lines.push(
      `a${level}: &a${level} [${Array(10)
        .fill(`*a${level - 1}`)
        .join(', ')}]`,
    );
  }
  // Ten thousand million of them would take minutes and more memory than there is.
  const before = process.cpuUsage();
  assert.equal(only(lines.join('\n')).code, 'TooLarge');
  assert.ok(process.cpuUsage(before).user < 5_000_000);
});

test('a byte order mark, CRLF and comments are read over', () => {
  const { documents, problems } = readYaml(Buffer.from('\ufeff# first\r\na: 1\r\nb:\r\n  - 2\r\n'));
  assert.deepEqual(problems, []);
  assert.deepEqual(documents[0]?.value, { a: 1, b: [2] });
  assert.deepEqual(readYaml('# only a comment').documents, []);
});

test('every field knows its line', () => {
  const { documents } = readYaml(
    'a: 1\nb:\n  - x: 1\n    "y z": {q: 2}\n---\nc:\n  d: *none\n'.replace('*none', '3'),
  );
  const [first, second] = documents;
  assert.equal(first?.lineOf('b[0].x'), 3);
  assert.equal(first?.lineOf('b[0]["y z"].q'), 4);
  assert.equal(first?.lineOf('b[0].x.missing[4]'), 3);
  assert.equal(first?.lineOf('nothing'), 1);
  assert.equal(second?.lineOf('c.d'), 7);
});

test('bytes that people did not write never throw', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.uint8Array({ maxLength: 200 })),
      (input) => {
        readYaml(input);
      },
    ),
  );
});
