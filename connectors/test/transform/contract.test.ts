import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTransform } from '@etl-router/connectors';
import { testTransform } from '@etl-router/connectors/testing';
import type { JsonObject } from '@etl-router/pipeline';

const baseDirectory = mkdtempSync(join(tmpdir(), 'etl-transform-'));
writeFileSync(join(baseDirectory, 'people.csv'), 'id,name\n1,Ada\n2,Grace\n');
writeFileSync(join(baseDirectory, 'salt'), 'pepper\n');

const payloads = [
  '{"id":1,"name":"Ada","address":{"city":"London","zip":"E1"},"amount":"12","big":9007199254740993}',
  '{"id":2,"name":"Grace","address":{"city":"New York","zip":"10001"},"amount":"7","big":-9007199254740993}',
  '{"id":3,"name":"Edsger","address":null,"amount":null}',
];

const transforms: readonly (readonly [string, JsonObject])[] = [
  ['filter', { condition: 'record.data.id >= 2' }],
  ['filter', { condition: 'record.data.id >= 2', negate: true }],
  ['project', { fields: ['id', 'big', 'address.city', 'kept.wide64', '__proto__'] }],
  ['project', { exclude: ['name', 'address.zip', '__proto__', 'a'] }],
  ['rename', { renames: { name: 'person.name', address: 'name', a: '__proto__' } }],
  ['cast', { casts: { id: 'string', amount: 'int', big: 'int64', wide64: 'string' } }],
  [
    'map',
    {
      mappings: [
        { target: 'copy', source: 'big' },
        { target: 'sum', expression: 'record.data.id + 1' },
        { target: 'kind', literal: { fixed: [1, 9007199254740993n] } },
        { target: '__proto__', source: 'name', default: 'none' },
      ],
    },
  ],
  ['map', { dropUnmapped: true, mappings: [{ target: 'a', source: 'address', cast: 'string' }] }],
  [
    'mask',
    {
      saltFile: 'salt',
      fields: [
        { field: 'name', strategy: 'tokenize' },
        { field: 'address.city', strategy: 'partial' },
        { field: 'address.zip' },
        { field: 'amount', strategy: 'hash' },
        { field: '__proto__', strategy: 'nullify' },
        { field: 'deep', strategy: 'hash' },
      ],
    },
  ],
  [
    'lookup',
    { table: { file: { path: 'people.csv' } }, keys: [{ field: 'id' }], markField: 'known' },
  ],
  [
    'lookup',
    {
      table: { file: { path: 'people.csv' } },
      keys: [{ field: 'id' }],
      merge: 'nest',
      prefix: '__proto__',
      onMiss: 'drop',
    },
  ],
];

for (const [index, [type, config]] of transforms.entries()) {
  testTransform({
    name: `${index + 1}: ${type}`,
    capabilities: { deterministic: true },
    create: () => createTransform({ type, config }, 'test'),
    baseDirectory,
    payloads,
  });
}
