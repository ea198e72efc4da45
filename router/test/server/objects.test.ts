import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Finding } from '@etl-router/pipeline';
import { findingsError } from '../../src/server/objects.ts';
import { allText, createWorld, pipelineText, sinkText, source, sourceText } from './harness.ts';

test('a text is applied whole, and again it changes nothing', async () => {
  const world = createWorld();
  const { objects } = world.router;
  const first = await objects.applyText(allText);
  assert.deepEqual(
    first.outcomes.map(({ name, outcome }) => [name.kind, outcome]),
    [
      ['EtlPipeline', 'created'],
      ['EtlSource', 'created'],
      ['EtlSink', 'created'],
    ],
  );
  assert.deepEqual(first.findings, [], 'references within one text resolve');
  const second = await objects.applyText(allText);
  assert.deepEqual(new Set(second.outcomes.map(({ outcome }) => outcome)), new Set(['unchanged']));
  const third = await objects.applyText(sinkText.replace('out.jsonl', 'other.jsonl'));
  assert.equal(third.outcomes[0]?.outcome, 'configured');
  assert.equal(third.outcomes[0].object?.generation, 2);
  await world.router.close();
});

test('a write is answered with the object as it left it, whatever was written right after', async () => {
  const world = createWorld();
  const { objects } = world.router;
  const write = (path: string) => objects.apply(source('in', { file: { path, format: 'jsonl' } }));
  const [first, second, gone] = await Promise.all([
    write('a.jsonl'),
    write('b.jsonl'),
    objects.delete({ kind: 'EtlSource', namespace: 'shop', name: 'in' }),
  ]);
  assert.deepEqual(gone, { droppedLanes: 0 });
  assert.deepEqual(first.object?.manifest.spec, { file: { path: 'a.jsonl', format: 'jsonl' } });
  assert.deepEqual([first.object.generation, second.object?.generation], [1, 2]);
  assert((second.object?.resourceVersion ?? 0) > first.object.resourceVersion);
  assert.equal(first.object.createdAtMs, second.object?.createdAtMs);
  await world.router.close();
});

test('one bad manifest of a text keeps the others out', async () => {
  const world = createWorld();
  const bad = pipelineText.replace('to: out', 'to: nowhere');
  const { outcomes, findings } = await world.router.objects.applyText(
    [sourceText, bad].join('---'),
  );
  assert.deepEqual(outcomes, []);
  assert(findings.some(({ code, severity }) => code === 'UnknownStage' && severity === 'error'));
  assert.deepEqual(world.router.objects.list(), []);
  assert.match(findingsError(findings).message, /nowhere/);
  await world.router.close();
});

test('a dry run says what would happen and changes nothing', async () => {
  const world = createWorld();
  const { objects } = world.router;
  const dry = await objects.applyText(allText, { dryRun: true });
  assert.deepEqual(new Set(dry.outcomes.map(({ outcome }) => outcome)), new Set(['created']));
  assert.equal(world.consensus.entries.length, 0);
  await objects.applyText(allText);
  const changed = allText.replace('in.jsonl', 'other.jsonl');
  const again = await objects.applyText(changed, { dryRun: true });
  assert.deepEqual(
    again.outcomes.map(({ outcome }) => outcome),
    ['unchanged', 'configured', 'unchanged'],
  );
  await world.router.close();
});

test('the state of a pipeline is part of its spec again when it is read', async () => {
  const world = createWorld();
  const { objects } = world.router;
  await objects.applyText(allText);
  const name = { kind: 'EtlPipeline', namespace: 'shop', name: 'orders' } as const;
  assert.equal(objects.get(name)?.manifest.spec['state'], 'running');
  const paused = await objects.setPipelineState(name, 'paused');
  assert.equal(paused.manifest.spec['state'], 'paused');
  assert.equal(paused.generation, 2);
  const same = await objects.apply(paused.manifest);
  assert.equal(same.outcome, 'unchanged', 'what is read can be applied again');
  const version = paused.resourceVersion - 1;
  await assert.rejects(objects.setPipelineState(name, 'running', { expectedVersion: version }), {
    code: 'ETL_CONFLICT',
  });
  await world.router.close();
});

test('a request that is repeated applies once, and its id is not taken for another manifest', async () => {
  const world = createWorld();
  const { objects } = world.router;
  const request = { requestId: 'b6f0' };
  const spec = { file: { path: 'a', format: 'jsonl' } };
  const first = await objects.apply(source('in', spec), { request });
  await objects.apply(source('in', { file: { path: 'b', format: 'jsonl' } }));
  const again = await objects.apply(source('in', spec), { request });
  assert.equal(again.outcome, first.outcome);
  assert.deepEqual(objects.list()[0]?.manifest.spec['file'], { path: 'b', format: 'jsonl' });
  await assert.rejects(objects.apply(source('other', spec), { request }), { code: 'ETL_CONFLICT' });
  await assert.rejects(objects.applyText(allText, { request }), { code: 'ETL_INVALID_ARGUMENT' });
  await world.router.close();
});

test('64-bit numbers of a spec come back exact', async () => {
  const world = createWorld();
  const { objects } = world.router;
  await objects.apply(source('in', { generator: { seed: 9_223_372_036_854_775_807n, rate: 1.5 } }));
  const [stored] = objects.list();
  assert.deepEqual(stored?.manifest.spec['generator'], {
    rate: 1.5,
    seed: 9_223_372_036_854_775_807n,
  });
  await world.router.close();
});

test('findings of an added check refuse an object', async () => {
  const finding: Finding = {
    severity: 'error',
    code: 'UnknownField',
    object: 'EtlSource shop/in',
    path: 'spec.file.paht',
    message: 'is not a field',
    suggestion: 'path',
    line: undefined,
  };
  const world = createWorld({ checks: [({ kind }) => (kind === 'EtlSource' ? [finding] : [])] });
  const refused = await world.router.objects.apply(source('in', { file: { paht: 'a' } }));
  assert.equal(refused.outcome, undefined);
  assert.deepEqual(refused.findings, [finding]);
  assert.deepEqual(world.router.objects.list(), []);
  await world.router.close();
});

test('deleting what is not there is not found, and a stale version is a conflict', async () => {
  const world = createWorld();
  const { objects } = world.router;
  const name = { kind: 'EtlSource', namespace: 'shop', name: 'in' } as const;
  await assert.rejects(objects.delete(name), { code: 'ETL_NOT_FOUND' });
  const { object } = await objects.apply(source('in', { file: { path: 'a' } }));
  const expectedVersion = (object?.resourceVersion ?? 0) + 1;
  await assert.rejects(objects.delete(name, { expectedVersion }), { code: 'ETL_CONFLICT' });
  assert.deepEqual(await objects.delete(name, { expectedVersion: expectedVersion - 1 }), {
    droppedLanes: 0,
  });
  await world.router.close();
});
