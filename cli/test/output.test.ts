import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, printableLine } from '../src/io.ts';
import { renderJson, renderTable, renderYaml } from '../src/output.ts';

/** All that a terminal obeys or that turns the direction of text. */
const hostile = '\u001b[31m \u0007 \r \u007f \u009b31m \u0085 \u2028 \u202e \u2066';

test('no output sends to a terminal what it would obey', async () => {
  const obeyed = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;
  const table = renderTable(['NAME'], [[`${hostile}\n\t`]]);
  assert.equal(table.split('\n').length, 3, 'a newline in a cell makes no row');
  for (const text of [printable(hostile), printableLine(hostile), table]) {
    assert.doesNotMatch(text, obeyed);
    assert.ok(text.includes('\\x1b[31m'));
  }
  const json = renderJson({ hostile });
  assert.doesNotMatch(json, obeyed);
  assert.deepEqual(JSON.parse(json), { hostile });
  const { load } = await import('js-yaml');
  const yaml = await renderYaml({ hostile });
  assert.doesNotMatch(yaml, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
  assert.deepEqual(load(yaml), { hostile });
});

test('text that looks like an escape stays as it was written', () => {
  assert.equal(printable('C:\\x0a\\new'), 'C:\\x0a\\new');
});

for (const [text, columns] of [
  ['plain', 5],
  ['日本', 4],
  ['e\u0301', 1],
  ['👍🏽', 2],
  ['👩‍👩‍👧', 2],
  ['🇩🇪', 2],
  ['❤\ufe0f', 2],
  ['𠀀', 2],
  ['한글', 4],
  ['שלום', 4],
] as const) {
  test(`${JSON.stringify(text)} takes ${columns} columns of a table`, () => {
    const [, row] = renderTable(
      ['N', 'AGE'],
      [
        [text, '1s'],
        ['twelve wide ', ''],
      ],
    ).split('\n');
    assert.equal(row, `${text}${' '.repeat(12 - columns)}   1s`);
  });
}
