import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readVersions } from '../src/resource-versions.ts';
import { etlctl } from './harness.ts';

const source = (name: string, metadata = ''): string =>
  `apiVersion: etl.router/v1\nkind: EtlSource\nmetadata: { name: ${name}${metadata} }\nspec: { generator: {} }\n`;

test('the version of every document and list item is found under its own namespace and kind', () => {
  const text = [
    source('a', ", resourceVersion: '7'"),
    source('b', ', namespace: lab, resourceVersion: 8'),
    source('c'),
    source('d', ", resourceVersion: ''"),
    source('e', ', resourceVersion: 9').replace('EtlSource', 'Source'),
    `apiVersion: v1\nkind: List\nitems: [{ kind: EtlSink, metadata: { name: f, resourceVersion: "10" } }]\n`,
  ].join('---\n');
  const { versions, findings } = readVersions(text, 'default');
  assert.deepEqual(findings, []);
  assert.deepEqual(Object.fromEntries(versions), {
    'EtlSource default/a': '7',
    'EtlSource lab/b': '8',
    'EtlSource default/e': '9',
    'EtlSink default/f': '10',
  });
});

for (const version of ['abc', '-1', '1.5', '99999999999999999', '[1]', 'true']) {
  test(`resourceVersion ${version} is refused with its line before anything is sent`, async () => {
    const text = source('a', `, resourceVersion: ${version}`);
    const { code, err } = await etlctl(['apply', '-f', '-', '-s', 'http://127.0.0.1:1'], text);
    assert.equal(code, 2);
    assert.match(err, /metadata\.resourceVersion, line 3: is no version that a router gave/);
  });
}
