// What GraphQL answers to bad input: always soon, never with an internal error, and with a code that says what was wrong.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress } from '../../src/config/parse.ts';
import { allText, pipelineText, sourceText } from '../server/harness.ts';
import { start } from './fixture.ts';

interface Case {
  readonly name: string;
  /** The whole body, or a document and what goes with it. */
  readonly body?: string;
  readonly query?: string;
  readonly variables?: object;
  readonly operationName?: string;
  readonly type?: string;
  /** Sent in the address by GET. */
  readonly get?: boolean;
  readonly status?: number;
  /** Code of the first error, or of a mutation's answer; absent: no error. */
  readonly code?: string;
  readonly text?: RegExp;
}

const many = (count: number, make: (at: number) => string): string =>
  Array.from({ length: count }, (_, at) => make(at)).join(' ');
const nested = (depth: number): object =>
  Array.from({ length: depth }).reduce<object>((inner) => ({ a: inner }), {});
const letters = (first: string): string =>
  `{deadLetters(pipelineId:"shop/orders",first:${first}){total}}`;
const lettersOf = 'query($n:Int!){deadLetters(pipelineId:"shop/orders",first:$n){total}}';
const version = '{version{version}}';
const filtered = 'query($f:OperationalErrorFilter){operationalErrors(filter:$f){id}}';
const pipelineOf = 'query($id:ID!){pipeline(pipelineId:$id){name}}';
const enable = 'mutation($id:ID!){answer:enablePipeline(pipelineId:$id){success message code}}';
const group = (generation: string): string =>
  `mutation{answer:commitGroupOffset(input:{groupId:"g",sourceId:"shop/orders/in",partition:"p",offset:"1",generation:${generation}}){success message code}}`;
const clear = 'mutation B{clearResolvedErrors{success}}';

const cases: readonly Case[] = [
  { name: 'empty body', body: '', status: 400, code: 'BAD_REQUEST' },
  { name: 'no query', body: '{}', code: 'BAD_REQUEST' },
  { name: 'null', body: 'null', status: 400, code: 'BAD_REQUEST' },
  { name: 'text', body: '"x"', status: 400, code: 'BAD_REQUEST' },
  { name: 'malformed JSON', body: '{"query":', status: 400, code: 'BAD_REQUEST' },
  { name: 'batch', body: `[{"query":"${version}"}]`, status: 400, code: 'BAD_REQUEST' },
  { name: 'query of a wrong type', body: '{"query":5}', status: 400, code: 'BAD_REQUEST' },
  { name: 'list as variables', query: version, variables: [1], status: 400, code: 'BAD_REQUEST' },
  { name: '10 MiB', body: ' '.repeat(10 * 2 ** 20), status: 413, text: /at most 4194304 bytes/ },
  { name: 'syntax', query: '{version{', code: 'GRAPHQL_PARSE_FAILED' },
  { name: 'unterminated text', query: '{pipeline(pipelineId:"', code: 'GRAPHQL_PARSE_FAILED' },
  { name: 'byte order mark', query: `\ufeff${version}` },
  { name: 'NUL', query: '{version\0{version}}', code: 'GRAPHQL_PARSE_FAILED' },
  { name: 'depth 50', query: '{a'.repeat(50) + '}'.repeat(50), code: 'ETL_LIMIT_EXCEEDED' },
  { name: 'depth 5,000', query: '{a'.repeat(5000) + '}'.repeat(5000), code: 'ETL_LIMIT_EXCEEDED' },
  {
    name: 'value nested 3,000 deep',
    query: `{operationalErrors(filter:${'{a:'.repeat(3000)}1${'}'.repeat(3000)}){id}}`,
    code: 'ETL_LIMIT_EXCEEDED',
  },
  {
    name: '10,000 aliases',
    query: `{${many(10_000, (at) => `a${at}:__typename`)}}`,
    text: /tokens|fields/i,
  },
  {
    name: '3,000 aliases',
    query: `{${many(3000, (at) => `a${at}:__typename`)}}`,
    code: 'ETL_LIMIT_EXCEEDED',
  },
  {
    name: 'circular fragments',
    query: '{...a} fragment a on Query{...b} fragment b on Query{...a}',
    code: 'GRAPHQL_VALIDATION_FAILED',
  },
  {
    name: 'fragment on an unknown type',
    query: '{...a} fragment a on Nope{x}',
    code: 'GRAPHQL_VALIDATION_FAILED',
  },
  {
    name: 'fragments that double',
    query: `{...f0} ${many(30, (at) => `fragment f${at} on Query{...f${at + 1} ...f${at + 1}}`)} fragment f30 on Query${version}`,
    code: 'ETL_LIMIT_EXCEEDED',
  },
  {
    name: 'unused fragments',
    query: `${version} ${many(1000, (at) => `fragment f${at} on Query${version}`)}`,
    code: 'GRAPHQL_VALIDATION_FAILED',
  },
  {
    name: '5,000 directives',
    query: `{version${' @include(if:true)'.repeat(3000)}{version}}`,
    code: 'ETL_LIMIT_EXCEEDED',
  },
  { name: 'introspection: the schema is public', query: '{__schema{queryType{name}}}' },
  {
    name: 'a wrong field, with what was meant',
    query: '{pipelin{name}}',
    code: 'GRAPHQL_VALIDATION_FAILED',
    text: /Did you mean/,
  },
  { name: 'first 1000000', query: letters('1000000'), code: 'ETL_INVALID_ARGUMENT' },
  { name: 'first -1', query: letters('-1'), code: 'ETL_INVALID_ARGUMENT' },
  { name: 'first 2^31', query: letters('2147483648'), code: 'GRAPHQL_VALIDATION_FAILED' },
  { name: 'first 1.5', query: letters('1.5'), code: 'GRAPHQL_VALIDATION_FAILED' },
  { name: 'first as a text', query: letters('"x"'), code: 'GRAPHQL_VALIDATION_FAILED' },
  {
    name: 'first 1.5 in a variable',
    status: 400,
    code: 'ETL_INVALID_ARGUMENT',
    query: lettersOf,
    variables: { n: 1.5 },
    text: /got invalid value/,
  },
  {
    name: 'first 2^31 in a variable',
    status: 400,
    code: 'ETL_INVALID_ARGUMENT',
    query: lettersOf,
    variables: { n: 2 ** 31 },
    text: /got invalid value/,
  },
  {
    name: 'enum in another case',
    query: '{operationalErrors(filter:{errorType:timeout}){id}}',
    code: 'GRAPHQL_VALIDATION_FAILED',
  },
  {
    name: 'unknown input field',
    query: '{operationalErrors(filter:{nope:1}){id}}',
    code: 'GRAPHQL_VALIDATION_FAILED',
  },
  {
    name: '__proto__ as an input field',
    status: 400,
    code: 'ETL_INVALID_ARGUMENT',
    body: `{"query":"${filtered}","variables":{"f":{"__proto__":{"limit":1}}}}`,
    text: /__proto__/,
  },
  {
    name: 'missing variable',
    status: 400,
    query: pipelineOf,
    code: 'ETL_INVALID_ARGUMENT',
    text: /\$id/,
  },
  { name: 'variable too many', query: version, variables: { extra: 1 } },
  {
    name: 'variable of a wrong type',
    status: 400,
    query: pipelineOf,
    code: 'ETL_INVALID_ARGUMENT',
    variables: { id: { a: 1 } },
    text: /\$id/,
  },
  {
    name: 'variable nested 100 deep',
    status: 400,
    code: 'ETL_INVALID_ARGUMENT',
    query: filtered,
    variables: { f: nested(100) },
    text: /\$f/,
  },
  { name: 'variable of 1 MiB', query: pipelineOf, variables: { id: 'x'.repeat(2 ** 20) } },
  { name: '64 bits and one', query: group('"18446744073709551616"'), text: /UInt64 needs/ },
  { name: '64 bits', query: group('"18446744073709551615"'), text: /"success":false/ },
  { name: 'mutation by GET', query: clear, get: true, status: 405 },
  { name: 'form', query: version, type: 'application/x-www-form-urlencoded', status: 415 },
  { name: 'plain text', query: version, type: 'text/plain', status: 415 },
  { name: 'multipart', query: version, type: 'multipart/form-data; boundary=x', status: 415 },
  { name: 'UTF-16', query: version, type: 'application/json; charset=utf-16', status: 415 },
  {
    name: 'two operations, none named',
    query: `query A${version} query B${version}`,
    status: 400,
    code: 'OPERATION_RESOLUTION_FAILURE',
  },
  {
    name: 'a mutation beside the query that runs',
    query: `query A${version} ${clear}`,
    operationName: 'A',
  },
  {
    name: "an id that says '; --",
    query: enable,
    variables: { id: "'; --" },
    text: /"success":false/,
  },
  {
    name: 'an id with a line break',
    query: enable,
    variables: { id: 'a\nb' },
    text: /"success":false/,
  },
  {
    name: 'a long id',
    query: enable,
    variables: { id: 'x'.repeat(5000) },
    text: /"success":false/,
  },
  {
    name: 'subscription to a pipeline that does not exist',
    query: 'subscription{pipelineRates(pipelineId:"shop/none"){pipelineId}}',
    text: /ETL_NOT_FOUND/,
  },
  {
    name: 'deleting what is not there',
    query: 'mutation{answer:deletePipeline(pipelineId:"shop/none"){success code}}',
    text: /"code":"ETL_NOT_FOUND"/,
  },
];

test('bad input of GraphQL is answered soon, with its code and without internals', async (t) => {
  const { running } = await start(t);
  await running.router.objects.applyText(allText);
  const { http } = running.addresses;
  const base = `http://${http && formatAddress(http)}/graphql`;
  await fetch(base, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  for (const at of cases) {
    await t.test(at.name, async () => {
      const { query = '', variables, operationName } = at;
      const isGet = at.get === true;
      const response = await fetch(isGet ? `${base}?query=${encodeURIComponent(query)}` : base, {
        method: isGet ? 'GET' : 'POST',
        headers: { 'content-type': at.type ?? 'application/json', connection: 'close' },
        signal: AbortSignal.timeout(60_000),
        ...(isGet ? {} : { body: at.body ?? JSON.stringify({ query, variables, operationName }) }),
      });
      const text = await response.text();
      assert.equal(response.status, at.status ?? 200, text.slice(0, 500));
      assert.doesNotMatch(text, /ETL_INTERNAL|node_modules|\.ts:\d/);
      const { errors } = JSON.parse(text) as {
        errors?: readonly { extensions?: { code?: string } }[];
      };
      if (at.code !== undefined) assert.equal(errors?.[0]?.extensions?.code, at.code);
      if (at.text !== undefined) assert.match(text, at.text);
      if (at.code === undefined && at.text === undefined && at.status === undefined) {
        assert.equal(errors, undefined, text.slice(0, 500));
      }
    });
  }
});

test('what exists already, is stale or does not fit is an answer with its code', async (t) => {
  const fixture = await start(t);
  await fixture.running.router.objects.applyText(allText);
  const apply =
    'mutation($m:String!,$v:ID){answer:applyObject(input:{manifest:$m,expectedVersion:$v}){success code}}';
  const codeOf = async (manifest: string, expected?: string): Promise<unknown> => {
    const { data } = await fixture.graphql(apply, { m: manifest, v: expected });
    const answers = data as { answer: { success: boolean; code: string | null } };
    const { success, code } = answers.answer;
    assert.equal(success, code === null);
    return code;
  };
  const edges = (text: string): string =>
    pipelineText.replace('edges: [{from: in, to: out}]', `edges: [${text}]`);
  assert.equal(await codeOf(sourceText.replace('in.jsonl', 'b.jsonl'), '1000'), 'ETL_CONFLICT');
  assert.equal(await codeOf(sourceText, '0'), 'ETL_CONFLICT', 'it exists');
  for (const [what, manifest] of [
    ['an edge to itself', edges('{from: in, to: out}, {from: out, to: out}')],
    ['a cycle', edges('{from: in, to: out}, {from: out, to: in}')],
    ['an edge to nowhere', edges('{from: in, to: none}')],
    ['a stage twice', pipelineText.replace('name: out,', 'name: in,')],
  ] as const) {
    assert.notEqual(await codeOf(manifest), null, what);
  }
  const found = fixture.running.router.objects.list({ kind: 'EtlPipeline' });
  assert.equal(found.length, 1, 'nothing of it took effect');
});
