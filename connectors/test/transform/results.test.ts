import { deepEqual, rejects, throws } from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createTransform } from '@etl-router/connectors';
import { testBatch, testContext, testLane } from '@etl-router/connectors/testing';
import { BatchBuilder, isEtlError, positionOfCount } from '@etl-router/core';
import type { JsonObject } from '@etl-router/pipeline';

const directory = mkdtempSync(join(tmpdir(), 'etl-transform-'));
writeFileSync(join(directory, 't.csv'), 'id,name\n1,old\n1,Ada\n2,"Grace, H."\n9,left out\n');
writeFileSync(
  join(directory, 'rows.jsonl'),
  '{"id":null,"name":"nobody"}\n{"id":1,"name":"Ada"}\n',
);
const { signal } = new AbortController();

/** What one payload becomes: another one, nothing, or the code it fails with. */
async function result(type: string, config: JsonObject, payload: string): Promise<string> {
  const transform = createTransform({ type, config }, 'test');
  await transform.open(testContext(directory));
  try {
    const payloads = new Map([[1, payload]]);
    const given = testBatch({ lane: 'a', epoch: 1, from: 1, to: 1, payloads });
    const { batch, failures } = await transform.process(given, signal);
    if (failures[0] !== undefined) return failures[0].code;
    return batch.count === 0 ? 'dropped' : batch.payload(0).toString();
  } finally {
    await transform.close();
  }
}

const file = { path: 't.csv', exclude: { id: ['9'] } };
const lookup = {
  table: { file },
  keys: [{ field: 'k', column: 'id' }],
  fields: { 'p.name': 'name' },
};
const cast = (type: string): JsonObject => ({ casts: { a: type } });
const mask = (strategy: string): JsonObject => ({ fields: [{ field: 'a', strategy }] });

const cases: readonly (readonly [string, JsonObject, string, string])[] = [
  ['lookup', lookup, '{"k":1,"p":{"x":1}}', '{"k":1,"p":{"x":1,"name":"Ada"}}'],
  ['lookup', lookup, '{"k":"2"}', '{"k":"2","p":{"name":"Grace, H."}}'],
  ['lookup', lookup, '{"k":9}', '{"k":9}'],
  ['lookup', lookup, '{}', '{}'],
  ['lookup', { ...lookup, table: { file: { path: 'rows.jsonl' } } }, '{"k":null}', '{"k":null}'],
  ['lookup', { ...lookup, markField: 'found' }, '{"k":3}', '{"k":3,"found":false}'],
  ['lookup', { ...lookup, onMiss: 'drop' }, '{"k":3}', 'dropped'],
  ['lookup', { ...lookup, onMiss: 'error' }, '{"k":3}', 'LOOKUP_MISS'],
  ['lookup', { ...lookup, merge: 'nest' }, '{"k":1}', '{"k":1,"lookup":{"p":{"name":"Ada"}}}'],
  ['lookup', { ...lookup, merge: 'replace' }, '{"k":1}', '{"p":{"name":"Ada"}}'],
  ['cast', cast('int'), '{"a":"9007199254740993"}', '{"a":9007199254740993}'],
  ['cast', cast('int'), '{"a":1.5}', 'CAST_FAILED'],
  ['cast', cast('int'), '{"a":"9223372036854775808"}', 'CAST_FAILED'],
  ['cast', cast('float'), '{"a":"9007199254740993"}', 'CAST_FAILED'],
  ['cast', cast('float'), '{"a":" 1.5e3 "}', '{"a":1500}'],
  ['cast', cast('bool'), '{"a":"1"}', '{"a":true}'],
  ['cast', cast('timestamp'), '{"a":"2026-02-30T00:00:00Z"}', 'CAST_FAILED'],
  [
    'cast',
    cast('timestamp'),
    '{"a":"2026-01-31 02:00:00.123456+02:00"}',
    '{"a":"2026-01-31T00:00:00.123456Z"}',
  ],
  ['cast', cast('timestamp'), '{"a":0}', '{"a":"1970-01-01T00:00:00Z"}'],
  ['cast', cast('date'), '{"a":"2026-01-31"}', '{"a":"2026-01-31"}'],
  ['cast', cast('json'), '{"a":"[9007199254740993]"}', '{"a":[9007199254740993]}'],
  ['cast', cast('int'), '{"a":null}', '{"a":null}'],
  ['mask', mask('redact'), '{"a":5}', '{"a":"***"}'],
  ['mask', mask('partial'), '{"a":"123456"}', '{"a":"**3456"}'],
  ['mask', mask('partial'), '{"a":"1234"}', '{"a":"****"}'],
  ['mask', mask('nullify'), '{"a":{"b":1}}', '{"a":null}'],
  ['project', { fields: ['b', 'a.x'] }, '{"a":{"x":1,"y":2},"b":3}', '{"b":3,"a":{"x":1}}'],
  ['rename', { renames: { a: 'b', b: 'a' } }, '{"a":1,"b":2}', '{"b":1,"a":2}'],
  ['cast', cast('int'), '{"a":"1","b":1e400}', 'NOT_FINITE'],
  ['cast', cast('int'), '{"a":1,"b":1e400}', '{"a":1,"b":1e400}'],
  [
    'map',
    { mappings: [{ target: 'a', expression: 'record.data.b / 0.0' }] },
    '{"b":1.5}',
    'NOT_FINITE',
  ],
  ['map', { drop_unmapped: true, mappings: [{ target: 'a' }] }, '{"a":1,"b":2}', '{"a":1}'],
  [
    'lookup',
    {
      table: { file: { path: 't.csv' } },
      keys: [{ record_field: 'k', lookup_key: 'id' }],
      output_prefix: 'p_',
      merge_strategy: 'merge',
      on_miss: 'pass_through',
    },
    '{"k":1}',
    '{"k":1,"p_id":"1","p_name":"Ada"}',
  ],
  ['project', { exclude: ['a.b.c', 'd'] }, '{"a":{"b":1},"d":2}', '{"a":{"b":1}}'],
  ['project', { exclude: ['x', 'a.y'] }, '{"a":{"b":1.0}}', '{"a":{"b":1.0}}'],
  ['filter', { condition: 'record.data.a > 1' }, '{"a":', 'NOT_JSON'],
  ['filter', { condition: 'record.data.a > 1', negate: true }, '{"a":', 'NOT_JSON'],
  ['filter', { condition: 'record.type == "test"' }, '{"a":', '{"a":'],
  ['filter', { condition: 'record.data.a > 1' }, '{"a":null}', 'dropped'],
  ['filter', { condition: 'record.data.a > 1', negate: true }, '{}', '{}'],
  ['filter', { condition: 'record.data.a > 1', strict: true }, '{}', 'NO_SUCH_FIELD'],
  ['filter', { condition: 'record.data.a > 1', strict: true }, '{"a":"x"}', 'WRONG_TYPE'],
  ['filter', { condition: 'int(record.data.a) > 1' }, '{"a":"x"}', 'CONVERSION'],
  ['filter', { condition: 'record.data.a > 1' }, '{}', 'dropped'],
  ['filter', { condition: 'record.data.a > 1' }, '{"a":2}', '{"a":2}'],
];

for (const [type, config, payload, expected] of cases) {
  test(`${type} ${JSON.stringify(config)} makes of ${payload} ${expected}`, async () => {
    deepEqual(await result(type, config, payload), expected);
  });
}

for (const [onDuplicate, expected] of [
  [undefined, 'new'],
  ['last', 'new'],
  ['first', 'old'],
] as const) {
  test(`of rows with one key, onDuplicate ${onDuplicate} takes the ${expected} one`, async () => {
    writeFileSync(join(directory, 'twice.csv'), 'id,name\n1,old\n2,b\n1,new\n');
    const table = { file: { path: 'twice.csv' }, ...(onDuplicate && { onDuplicate }) };
    const config = { table, keys: [{ field: 'id' }], fields: { name: 'name' } };
    deepEqual(await result('lookup', config, '{"id":1}'), `{"id":1,"name":"${expected}"}`);
  });
}

test('onDuplicate error refuses a table that has a key twice, and names the key', async () => {
  writeFileSync(join(directory, 'twice.csv'), 'id,name\n1,old\n2,b\n1,new\n');
  const table = { file: { path: 'twice.csv' }, onDuplicate: 'error' };
  await rejects(result('lookup', { table, keys: [{ field: 'id' }] }, '{"id":2}'), {
    code: 'ETL_CONFIG_INVALID',
    retryable: false,
    message: /twice\.csv can not be read: more than one row has the key "1" in id; .*onDuplicate/,
  });
});

for (const [table, code] of [
  [{ file: { path: 'missing.csv' } }, 'ETL_CONNECTOR_FAILED'],
  [{ file: { path: 't.csv' }, maxRows: 1 }, 'ETL_LIMIT_EXCEEDED'],
  [{ file: { path: 't.csv' }, maxBytes: 40 }, 'ETL_LIMIT_EXCEEDED'],
] as const) {
  test(`lookup in ${JSON.stringify(table)} does not open: ${code}`, async () => {
    await rejects(
      result('lookup', { table, keys: [{ field: 'id' }] }, '{}'),
      (error: unknown) =>
        isEtlError(error) && error.code === code && error.message.includes('.csv'),
    );
  });
}

/** The codes that records of these content types and payloads fail with. */
async function codesOf(
  records: readonly { readonly contentType: string; readonly payload: Buffer }[],
): Promise<(string | undefined)[]> {
  const transform = createTransform({ type: 'cast', config: cast('int') }, 'test');
  await transform.open(testContext(directory));
  const builder = new BatchBuilder();
  for (const [index, record] of records.entries())
    builder.append({ position: positionOfCount(index), ...record });
  const header = { lane: testLane('a'), epoch: 1, firstSequence: 0, watermark: undefined };
  const { failures } = await transform.process(builder.build(header), signal);
  await transform.close();
  return records.map((_, index) => failures.find((failure) => failure.index === index)?.code);
}

test('payloads that are not JSON by their content type are not read', async () => {
  const payload = Buffer.from('{"a":"1"}');
  const codes = {
    '': undefined,
    'application/json': undefined,
    'Application/JSON; charset=utf-8': undefined,
    'application/vnd.example.v1+json': undefined,
    'text/json': undefined,
    'text/plain': 'NOT_JSON',
    'application/jsonlines': 'NOT_JSON',
    'application/octet-stream': 'NOT_JSON',
  };
  const records = Object.keys(codes).map((contentType) => ({ contentType, payload }));
  deepEqual(await codesOf(records), Object.values(codes));
});

test('a payload that is not UTF-8 is never written as something else', async () => {
  const contentType = 'application/json';
  const payload = Buffer.from('{"a":"1","b":"\xff"}', 'latin1');
  const valid = Buffer.from('{"a":"1","b":"\ufffd"}');
  deepEqual(
    await codesOf([
      { contentType, payload },
      { contentType, payload: valid },
    ]),
    ['NOT_JSON', undefined],
  );
});

test('a record that misses goes on with the names of the stages that missed it', async () => {
  const given = testBatch({ lane: 'a', epoch: 1, from: 1, to: 2 });
  let batch = given;
  for (const stage of ['first', 'second']) {
    const transform = createTransform({ type: 'lookup', config: lookup }, 'test');
    await transform.open({ ...testContext(directory), stage });
    ({ batch } = await transform.process(batch, signal));
    await transform.close();
  }
  deepEqual(batch.headers(1), new Map([['etl-lookup-miss', 'first, second']]));
  deepEqual(batch.payload(1), given.payload(1));
  deepEqual(batch.sequence(1), given.sequence(1));
});

test('what one transform made the next one need not parse', async () => {
  const rename = createTransform({ type: 'rename', config: { renames: { n: 'm' } } }, 'test');
  await rename.open(testContext(directory));
  const { batch } = await rename.process(
    testBatch({ lane: 'a', epoch: 1, from: 1, to: 1 }),
    signal,
  );
  deepEqual(batch.knownValue(0), JSON.parse(batch.payload(0).toString()));
});

for (const [type, config, field] of [
  ['map', { mappings: [{ target: '', literal: 1 }] }, 'mappings[0].target'],
  ['map', { mappings: [{ target: 'a', source: '' }] }, 'mappings[0].source'],
  ['mask', { fields: [{ field: '' }] }, 'fields[0].field'],
] as const) {
  test(`an empty path is no path: ${type} ${field}`, () => {
    throws(
      () => createTransform({ type, config }, 'EtlTransform shop/it'),
      (error) =>
        isEtlError(error) && error.message.includes(`spec.${type}.${field}: "" is no path`),
    );
  });
}
