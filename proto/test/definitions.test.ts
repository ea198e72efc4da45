// The .proto files themselves: named and commented as our rules ask, generated code that is theirs, and no change that
// breaks what was released. Each check is shown to fail where it should.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { buf, protoRoot, withChanged } from './support/buf.ts';

const source = 'etl/source/v1/source.proto';
const record = 'etl/record/v1/record.proto';
const baseline = join(protoRoot, 'baseline.binpb');

test('every message, field, enum, value, service and call is named by the standard and has a comment', () => {
  const { status, output } = buf(['lint']);
  assert.equal(output, '');
  assert.equal(status, 0);
});

for (const [what, from] of [
  ['a field', '  // The lane; its partition is one of ListPartitions.\n'],
  ['a message', '// Nothing now.\n'],
  ['a call', /( {2}\/\/ What the source can promise; asked once.*\n)/],
  ['an enum value', '  // Refused.\n'],
] as const) {
  test(`${what} without a comment is reported`, () => {
    withChanged(
      source,
      (text) => text.replace(from, ''),
      (directory) => {
        const { status, output } = buf(['lint'], directory);
        assert.equal(status, 100);
        assert.match(output, /should have a non-empty comment/);
      },
    );
  });
}

test('the generated code is that of the .proto files', () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [join(protoRoot, '../scripts/generate-proto.ts'), '--check'],
    { encoding: 'utf8' },
  );
  assert.equal(stderr, '');
  assert.equal(status, 0);
});

test('nothing changed that breaks generated code, the wire or JSON since the baseline', () => {
  const { status, output } = buf(['breaking', '--against', baseline]);
  assert.equal(output, '');
  assert.equal(status, 0);
});

const breakingChanges: readonly (readonly [
  what: string,
  file: string,
  from: string,
  to: string,
])[] = [
  ['a field that is gone', record, '  bytes key = 5;\n', ''],
  ['a field with another number', record, 'bytes key = 5;', 'bytes key = 15;'],
  ['a field of another type', record, 'bytes position = 1;', 'string position = 1;'],
  ['a field with another name', record, 'bytes key = 5;', 'bytes subject = 5;'],
  ['an enum value that is gone', source, '  ORDERING_NONE = 1;\n', ''],
  [
    'a call that is no stream any more',
    source,
    'rpc PullRecords(stream PullRecordsRequest)',
    'rpc PullRecords(PullRecordsRequest)',
  ],
];

for (const [what, file, from, to] of breakingChanges) {
  test(`${what} is reported as breaking`, () => {
    withChanged(
      file,
      (text) => text.replace(from, to),
      (directory) => {
        const { status, output } = buf(['breaking', '--against', baseline], directory);
        assert.equal(status, 100, output);
        assert.ok(output.startsWith(file), output);
      },
    );
  });
}

test('a new field is no breaking change', () => {
  withChanged(
    record,
    (text) =>
      text.replace(
        '  bytes payload = 10;\n',
        '  bytes payload = 10;\n  // New.\n  bytes extra = 11;\n',
      ),
    (directory) => {
      assert.deepEqual(buf(['breaking', '--against', baseline], directory), {
        status: 0,
        output: '',
      });
    },
  );
});

test('every generated name can be imported from the entry of its area', async () => {
  const { exports } = JSON.parse(readFileSync(join(protoRoot, 'package.json'), 'utf8')) as {
    exports: { [entry: string]: { 'etl-source': string } };
  };
  const entries = Object.values(exports).map((entry) =>
    readFileSync(join(protoRoot, entry['etl-source']), 'utf8'),
  );
  const missing: string[] = [];
  for (const file of globSync('etl/**/*_pb.ts', { cwd: join(protoRoot, 'src/gen') })) {
    const generated = (await import(join(protoRoot, 'src/gen', file))) as object;
    const entry = entries.find((text) => text.includes(`'./gen/${file}'`)) ?? '';
    const listed = new Set(entry.match(/\b\w+\b/g));
    for (const [name, value] of Object.entries(generated)) {
      const kind = (value as { kind?: string }).kind;
      if (kind === 'file' || kind === 'enum' || listed.has(name)) continue;
      missing.push(`${file}: ${name}`);
    }
  }
  assert.deepEqual(missing, []);
});
