// Manifests: the four kinds that people apply. A spec is opaque here; it was parsed and validated by who proposed it.
// An equal object is left alone, so applying a folder again changes no version.

import { create } from '@bufbuild/protobuf';
import {
  type DeleteObject,
  DroppedLanesResultSchema,
  type PutObject,
  PutObjectResultSchema,
  type SetPipelineState,
  type StoredObject,
  StoredObjectSchema,
  type StoredPair,
  StoredPipelineState,
} from '@etl-router/proto';
import { objectKey } from './keys.ts';
import { dropAllLanes } from './lanes.ts';
import { maxManifestBytes, maxRows, storedKinds } from './limits.ts';
import {
  checkBytes,
  checkLabel,
  checkPairs,
  checkSubdomain,
  invalid,
  utf8Length,
} from './names.ts';
import { checkRoom, conflict, notFound, type Outcome } from './refusal.ts';
import type { Context } from './tables.ts';

export function putObject(context: Context, command: PutObject): Outcome {
  checkPut(command);
  const { objects } = context.tables;
  const key = objectKey(command.kind, command.namespace, command.name);
  const before = objects.get(key);
  checkVersion(command, before);
  if (before !== undefined && isSame(before, command)) return putResult(before, before);
  if (before === undefined) checkRoom('objects', objects.size, maxRows.objects);
  const sameSpec =
    before !== undefined &&
    before.pipelineState === command.pipelineState &&
    sameBytes(before.spec, command.spec);
  const after = create(StoredObjectSchema, {
    kind: command.kind,
    namespace: command.namespace,
    name: command.name,
    uid: before?.uid ?? context.uid,
    resourceVersion: context.revise(),
    generation: before === undefined ? 1n : before.generation + (sameSpec ? 0n : 1n),
    createdAtNs: before?.createdAtNs ?? context.nowNs,
    updatedAtNs: context.nowNs,
    labels: command.labels,
    annotations: command.annotations,
    spec: command.spec,
    pipelineState: command.pipelineState,
  });
  objects.put(key, after);
  return putResult(after, before);
}

export function deleteObject(context: Context, command: DeleteObject): Outcome {
  const { objects, assignments } = context.tables;
  const key = objectKey(command.kind, command.namespace, command.name);
  const before = objects.get(key);
  if (before === undefined) throw notFound(command.kind, nameOf(command));
  checkVersion(command, before);
  objects.delete(key);
  context.revise();
  let lanes = 0;
  if (command.kind === 'EtlPipeline') {
    assignments.delete(nameOf(command));
    lanes = dropAllLanes(context, nameOf(command));
  }
  return { case: 'droppedLanes', value: create(DroppedLanesResultSchema, { lanes }) };
}

export function setPipelineState(context: Context, command: SetPipelineState): Outcome {
  const { objects } = context.tables;
  const key = objectKey('EtlPipeline', command.namespace, command.name);
  const before = objects.get(key);
  if (before === undefined) throw notFound('EtlPipeline', nameOf(command));
  checkState('state', 'EtlPipeline', command.state);
  checkVersion(command, before);
  if (before.pipelineState === command.state) return putResult(before, before);
  const after = create(StoredObjectSchema, {
    ...before,
    resourceVersion: context.revise(),
    generation: before.generation + 1n,
    updatedAtNs: context.nowNs,
    pipelineState: command.state,
  });
  objects.put(key, after);
  return putResult(after, before);
}

function checkPut(command: PutObject): void {
  if (!storedKinds.includes(command.kind)) {
    throw invalid('kind', `must be one of ${storedKinds.join(', ')}`);
  }
  checkLabel('metadata.namespace', command.namespace);
  checkSubdomain('metadata.name', command.name);
  checkPairs('metadata.labels', command.labels);
  checkPairs('metadata.annotations', command.annotations, maxManifestBytes);
  let bytes = command.spec.length;
  for (const pair of [...command.labels, ...command.annotations]) {
    bytes += pair.name.length + utf8Length(pair.value);
  }
  checkBytes('manifest', bytes, maxManifestBytes);
  if (command.spec.length === 0) throw invalid('spec', 'must not be empty');
  checkState('spec.state', command.kind, command.pipelineState);
}

function checkState(field: string, kind: string, state: StoredPipelineState): void {
  const isPipeline = kind === 'EtlPipeline';
  const known = state >= StoredPipelineState.RUNNING && state <= StoredPipelineState.STOPPED;
  if (isPipeline && !known) throw invalid(field, 'must be running, paused or stopped');
  if (!isPipeline && state !== StoredPipelineState.UNSPECIFIED) {
    throw invalid(field, `only pipelines have a state, not ${kind}`);
  }
}

function checkVersion(
  command: Pick<PutObject, 'namespace' | 'name' | 'expectedVersion'>,
  before: StoredObject | undefined,
): void {
  const expected = command.expectedVersion;
  if (expected === undefined || expected === (before?.resourceVersion ?? 0n)) return;
  const found = before?.resourceVersion ?? 0n;
  const id = nameOf(command);
  const message =
    before === undefined
      ? `${id} does not exist, but resource version ${expected} was expected`
      : expected === 0n
        ? `${before.kind} ${id} exists already, at resource version ${found}`
        : `${before.kind} ${id} is at resource version ${found}, not ${expected}; read it again and repeat the change`;
  throw conflict(message, { id, expected: String(expected), found: String(found) });
}

function isSame(before: StoredObject, command: PutObject): boolean {
  return (
    before.pipelineState === command.pipelineState &&
    samePairs(before.labels, command.labels) &&
    samePairs(before.annotations, command.annotations) &&
    sameBytes(before.spec, command.spec)
  );
}

function samePairs(a: readonly StoredPair[], b: readonly StoredPair[]): boolean {
  return (
    a.length === b.length &&
    a.every((pair, index) => pair.name === b[index]?.name && pair.value === b[index]?.value)
  );
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function putResult(after: StoredObject, before: StoredObject | undefined): Outcome {
  return {
    case: 'putObject',
    value: create(PutObjectResultSchema, {
      uid: after.uid,
      resourceVersion: after.resourceVersion,
      generation: after.generation,
      created: before === undefined,
      changed: after !== before,
      createdAtNs: after.createdAtNs,
      updatedAtNs: after.updatedAtNs,
    }),
  };
}

function nameOf(object: { readonly namespace: string; readonly name: string }): string {
  return `${object.namespace}/${object.name}`;
}
