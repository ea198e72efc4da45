// What a schema can not say of the values that pipeline/ and the connectors read, for properties: conditions, names that
// refer to each other, settings that depend on the ending of a path.

import fc from 'fast-check';
import type { Override } from './arbitrary.ts';

const stages = fc.constantFrom('a', 'b', 'c', 'd');

const conditions = fc.constantFrom<unknown>(
  "record.type == 'order'",
  { recordType: 'order' },
  { metadata_exists: 'tenant' },
  { not: { metadataEquals: { key: 'op', value: 'snapshot' } } },
  { or: [{ metadataMatches: { key: 'id', pattern: '^a+$' } }, { always: true }] },
  { metadataCompare: { key: 'size', operator: '>=', value: 10 } },
);

const sourcePaths = fc.constantFrom(
  'in.csv',
  'in/*.jsonl',
  'a.parquet',
  'b.csv.gz',
  'data',
  'x.JSONL',
);
const sinkPaths = fc.constantFrom(
  'out.csv',
  'out.jsonl.gz',
  'part-{sequence}.parquet',
  '{sequence}/a.csv',
  'a-{sequence}.CSV',
  'plain',
);

const byPath: readonly (readonly [RegExp, fc.Arbitrary<unknown>])[] = [
  [/\.namespace$/, fc.constant('shop')],
  [/(stages\[\]\.name|edges\[\]\.(from|to))$/, stages],
  [
    /(Ref|source|transforms\[\]|sink|sinks\[\])\.(name|ref)$/,
    fc.constantFrom('orders', 'a.b', 'x-1'),
  ],
  [/edges\[\]\.when$/, conditions],
  [
    /columns\.\*$/,
    fc.constantFrom<unknown>('BIGINT', 'decimal(9,2)', { type: 'TEXT', from: 'data.a' }),
  ],
  [/columns\.\*key$/, fc.constantFrom('id', 'größe', 'a b')],
  [/mappings\[\]\.default$/, fc.constantFrom<unknown>(0, 'x', [1], { a: null }, false)],
  [/startTime$/, fc.constantFrom('2026-01-31T12:00:00Z', '1999-12-31t23:59:59.5+02:00')],
  [/spec\.file\.path$/, sourcePaths],
  [/table\.file\.path$/, sourcePaths],
  [/exclude\.\*\[\]$/, fc.constantFrom<unknown>('', 'x', 7, true)],
  [/spec\.(path|table|schema|idColumn)$/, fc.constantFrom('a')],
];

/** Overrides of the kind; literal has to stand alone, so it is left to a test of its own. */
export function overridesOf(kind: string): Override {
  return (path, schema) => {
    if (kind === 'EtlSink' && path === 'spec.file.path') return sinkPaths;
    if (path.endsWith('mappings[].literal')) return fc.constant(undefined);
    const found = byPath.find(([pattern]) => pattern.test(path));
    return found === undefined || schema.kind === 'object' ? undefined : found[1];
  };
}
