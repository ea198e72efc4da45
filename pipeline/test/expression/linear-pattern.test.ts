import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { compilePattern } from '@etl-router/pipeline';
import fc from 'fast-check';
import { RE2JS } from 're2js';

const piece = fc.constantFrom(
  'a',
  'b',
  '-',
  '.',
  '\\.',
  '\\d',
  '\\w',
  '\\W',
  '[ab]',
  '[^a]',
  '[a-c1]',
  '[\\d_]',
  '1',
  '_',
  ' ',
  '/',
);
const alternative = fc
  .record({
    start: fc.constantFrom('', '^'),
    before: fc.array(piece, { maxLength: 4 }),
    quantifier: fc.constantFrom('', '?', '*', '+'),
    after: fc.array(piece, { maxLength: 3 }),
    end: fc.constantFrom('', '$'),
  })
  .map(({ start, before, quantifier, after, end }) => {
    return `${start}${before.join('')}${before.length > 0 ? quantifier : ''}${after.join('')}${end}`;
  });
const patterns = fc.array(alternative, { minLength: 1, maxLength: 3 }).map((all) => all.join('|'));
const texts = fc.string({
  unit: fc.constantFrom(
    'a',
    'b',
    'c',
    '1',
    '_',
    '.',
    '-',
    ' ',
    '/',
    '\n',
    '\u2028',
    'é',
    '😀',
    '\ud800',
  ),
  maxLength: 12,
});

test('a pattern means the same on the built-in engine as on the linear one', () => {
  let native = 0;
  fc.assert(
    fc.property(patterns, texts, (pattern, text) => {
      const compiled = compilePattern(pattern);
      if (compiled.native) native++;
      assert.equal(
        compiled.test(text),
        RE2JS.compile(pattern).test(text),
        `${pattern} on ${JSON.stringify(text)}`,
      );
    }),
    { numRuns: 3000 },
  );
  assert.ok(native > 500, `${native} of 3000 ran on the built-in engine`);
});

test('patterns that backtrack elsewhere take linear time here', () => {
  const text = `${'a'.repeat(100_000)}!`;
  for (const pattern of [
    '(a+)+$',
    '(a|a)*$',
    '(a*)*b',
    'a+b',
    'a*a*a*a*a*$',
    '(.*)*x',
    '^(a+)+$',
    '^a+$',
    '^a*b|^a+$',
    '[a]+[a]+[a]+b',
  ]) {
    const compiled = compilePattern(pattern);
    compiled.test('warm up');
    // What is quadratic takes a minute of it, whatever else the machine does.
    const before = process.cpuUsage();
    compiled.test(text);
    const tookMs = process.cpuUsage(before).user / 1000;
    assert.ok(tookMs < 2000, `${pattern} took ${tookMs} ms`);
  }
});

test('patterns in the safe subset run on the built-in engine and no others', () => {
  for (const pattern of ['abc', '^order', '\\.json$', '^[a-z]+$', 'a|b', '^a.*z$', 'colou?r']) {
    assert.equal(compilePattern(pattern).native, true, pattern);
  }
  for (const pattern of [
    'a+',
    '.*',
    '(a)',
    'a{2}',
    '^a*b*$',
    'a?b?',
    '\\s',
    '\\bx',
    '(?i)a',
    'é',
    '[[:alpha:]]',
  ]) {
    assert.equal(compilePattern(pattern).native, false, pattern);
  }
});

test('what RE2 does not have is refused with a reason', () => {
  for (const pattern of [
    '(',
    '[z-a]',
    '(?=a)',
    '(a)\\1',
    'a{1001}',
    '((a{100}){100}){100}',
    '*a',
    'x'.repeat(1001),
  ]) {
    assert.throws(() => compilePattern(pattern), { code: 'ETL_INVALID_ARGUMENT' }, pattern);
  }
});
