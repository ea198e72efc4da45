// The contract of every transform, as tests: what core/src/connector.ts says of Transform, one claim a test, over records
// as they should be and as they should not.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import {
  BatchBuilder,
  positionOfCount,
  RecordBatch,
  type Transform,
  type TransformCapabilities,
  type TransformResult,
} from '@etl-router/core';
import { testContext, testLane } from './sink-harness.ts';

export interface TransformContract {
  /** Such as `filter`. */
  readonly name: string;
  readonly capabilities: TransformCapabilities;
  readonly create: () => Transform;
  /** Where its relative paths start. */
  readonly baseDirectory: string;
  /** Payloads that the transform makes something of. */
  readonly payloads: readonly string[];
}

const { signal }: { readonly signal: AbortSignal } = new AbortController();
const depth = 20_000;
const views = { depth: 50, maxStringLength: null, breakLength: Number.POSITIVE_INFINITY } as const;

/** Payloads that no transform may stumble over: it passes them on, drops them, or says what is wrong with each. */
export const hostilePayloads: readonly string[] = [
  '',
  ' ',
  '{',
  'null',
  '[]',
  '[{"a":1}]',
  '"text"',
  '42',
  '{}',
  '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
  '{"__proto__":null,"toString":1,"hasOwnProperty":0}',
  '{"a":{"__proto__":{"b":1}}}',
  '{"id":9007199254740993,"low":-9223372036854775808,"wider":123456789012345678901234567890}',
  '{"a":1e400,"b":-0,"c":1E-7,"d":0.1000}',
  '{"a":1,"a":2}',
  '{"":{"":1},"a.b":3}',
  '\ufeff{"a":1}',
  '{"a":"\\ud800"}',
  `${'['.repeat(depth)}${']'.repeat(depth)}`,
  `{"id":9007199254740993,"deep":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`,
];

/** Registers the tests of one configuration of a transform. */
export function testTransform(contract: TransformContract): void {
  describe(`transform contract: ${contract.name}`, () => {
    testIdentity(contract);
    testHostile(contract);
    testRuns(contract);
  });
}

/** Records of which everything but the payload is different and known. Sequences have gaps. */
function batchOf(payloads: readonly string[]): RecordBatch {
  const builder = new BatchBuilder();
  for (const [index, payload] of payloads.entries()) {
    builder.append(
      {
        position: positionOfCount(index + 1),
        derivation: index % 3 === 0 ? '.split.1' : '',
        originId: index % 2 === 0 ? `origin/${index}` : '',
        type: `type.${index}`,
        key: Buffer.from([index % 256, 0, 255]),
        headers: new Map([['number', String(index)]]),
        eventTime: { seconds: index, nanos: index },
        contentType: 'application/json',
        payload: Buffer.from(payload),
      },
      100 + index * 3,
    );
  }
  return builder.build({ lane: testLane('a'), epoch: 7, firstSequence: 100, watermark: undefined });
}

/** All of a value as text. JSON writes -0 as 0, and nothing tells them apart but their sign. */
function show(value: unknown): string {
  return inspect(value, views).replace(/(?<=[ [])-0(?=[, }\]]|$)/g, '0');
}

async function run(
  contract: TransformContract,
  batch: RecordBatch,
  transform: Transform = contract.create(),
): Promise<TransformResult> {
  await transform.open(testContext(contract.baseDirectory));
  try {
    return await transform.process(batch, signal);
  } finally {
    await transform.close();
  }
}

/** Everything of a record but its payload and the headers that a stage adds as `etl-…`, by sequence. */
function identities(batch: RecordBatch): Map<number, unknown> {
  return new Map(
    Array.from({ length: batch.count }, (_, index) => {
      const { payload: _payload, headers, ...rest } = batch.record(index);
      const given = [...headers].filter(([name]) => !name.startsWith('etl-'));
      return [batch.sequence(index), { ...rest, given, id: batch.id(index) }] as const;
    }),
  );
}

/** What holds of any result: order, identity, and what failed did not also go on. */
function assertSound(batch: RecordBatch, result: TransformResult): void {
  const before = identities(batch);
  const after = identities(result.batch);
  equal(after.size, result.batch.count, 'one output of an input');
  deepEqual(
    [...after.keys()],
    [...after.keys()].toSorted((a, b) => a - b),
  );
  for (const [sequence, identity] of after) deepEqual(identity, before.get(sequence));
  deepEqual(result.batch.lane, batch.lane);
  equal(result.batch.epoch, batch.epoch);
  const failed = result.failures.map(({ index }) => index);
  equal(new Set(failed).size, failed.length);
  for (const { index, code, message } of result.failures) {
    ok(Number.isInteger(index) && index >= 0 && index < batch.count);
    ok(!after.has(batch.sequence(index)), 'what failed does not go on');
    ok(/^[A-Z][A-Z0-9_]*$/.test(code) && message !== '');
  }
}

function testIdentity(contract: TransformContract): void {
  test('it declares what it can promise', () => {
    deepEqual(contract.create().capabilities, contract.capabilities);
  });

  test('what goes on keeps its sequence, position, id and everything but its payload', async () => {
    const batch = batchOf(contract.payloads);
    const result = await run(contract, batch);
    deepEqual(result.failures, []);
    ok(result.batch.count > 0, 'some of the payloads go on');
    assertSound(batch, result);
  });

  test('the batch it was given does not change', async () => {
    const payloads = [...contract.payloads, ...hostilePayloads];
    const batch = batchOf(payloads);
    const bytes = Buffer.from(batch.bytes);
    const values = contract.payloads.map((_, index) => structuredClone(batch.value(index)));
    await run(contract, batch);
    deepEqual(batch.bytes, bytes);
    deepEqual(
      contract.payloads.map((_, index) => batch.value(index)),
      values,
    );
  });

  test('of no records come no records', async () => {
    const { header } = batchOf([]);
    const { batch, failures } = await run(contract, RecordBatch.empty(header));
    deepEqual([batch.count, failures], [0, []]);
  });
}

function testHostile(contract: TransformContract): void {
  test('a payload that is not what it should be never fails the others', async () => {
    const good = contract.payloads[0] as string;
    const batch = batchOf([...hostilePayloads.flatMap((bad) => [bad, good]), good]);
    const result = await run(contract, batch);
    assertSound(batch, result);
    const alone = await run(contract, batchOf([good]));
    const ends = await run(contract, batchOf([...hostilePayloads, good]));
    if (alone.batch.count > 0) {
      deepEqual(ends.batch.payload(ends.batch.count - 1), alone.batch.payload(0));
    }
    equal(({} as { readonly polluted?: unknown }).polluted, undefined);
  });

  test('a value that goes on with a payload is what the payload says', async () => {
    const { batch } = await run(contract, batchOf([...contract.payloads, ...hostilePayloads]));
    for (let index = 0; index < batch.count; index++) {
      const known = batch.knownValue(index);
      if (known === undefined || batch.payload(index).length > 10_000) continue;
      const bytes = batch.slice(index, index + 1).toBytes();
      equal(show(known), show(RecordBatch.decode(bytes).value(0)));
    }
  });

  test('integers beyond 2^53 that go on are exact', async () => {
    const wide = '9007199254740993';
    const payloads = contract.payloads.map((payload) =>
      payload.replace(/}$/, `,"wide64":${wide},"kept":{"wide64":[-${wide}]}}`),
    );
    const { batch } = await run(contract, batchOf(payloads));
    for (let index = 0; index < batch.count; index++) {
      const text = batch.payload(index).toString();
      for (const found of text.match(/900719925474\d+/g) ?? []) equal(found, wide);
    }
  });
}

function testRuns(contract: TransformContract): void {
  test('a replay makes the same, byte for byte', async () => {
    const payloads = [...contract.payloads, ...hostilePayloads];
    const first = await run(contract, batchOf(payloads));
    const second = await run(contract, RecordBatch.decode(batchOf(payloads).toBytes()));
    deepEqual(second.batch.toBytes(), first.batch.toBytes());
    deepEqual(second.failures, first.failures);
  });

  test('how records are cut into batches makes no difference', async () => {
    const whole = await run(contract, batchOf(contract.payloads));
    const batch = batchOf(contract.payloads);
    const payloads: string[] = [];
    for (let index = 0; index < batch.count; index++) {
      const one = await run(contract, batch.slice(index, index + 1));
      for (let at = 0; at < one.batch.count; at++) payloads.push(one.batch.payload(at).toString());
    }
    deepEqual(
      payloads,
      Array.from({ length: whole.batch.count }, (_, at) => whole.batch.payload(at).toString()),
    );
  });

  test('a call that is cancelled harms none that follow', async () => {
    const transform = contract.create();
    const batch = batchOf(contract.payloads);
    await transform.open(testContext(contract.baseDirectory));
    try {
      await Promise.resolve()
        .then(() => transform.process(batch, AbortSignal.abort()))
        .catch(() => {});
      const after = await transform.process(batch, signal);
      deepEqual(after.batch.toBytes(), (await run(contract, batch)).batch.toBytes());
    } finally {
      await transform.close();
    }
  });
}
