// Adds and removes one finalizer and leaves those of others as they are. Each change is a patch that says of which object
// it is meant and what it found there; when that is no longer so, the object is read again.

import { EtlError } from '@etl-router/core';
import { isConflict, isNotFound, isStatus } from './api-error.ts';
import {
  describeRef,
  type KubeKind,
  type KubeObject,
  type ObjectRef,
  refOf,
} from './kube-object.ts';
import type { JsonPatchOperation } from './kube-options.ts';
import type { RawKube } from './raw-kube.ts';

const attemptsMax = 5;

export interface FinalizerOptions {
  readonly client: Pick<RawKube, 'get' | 'jsonPatch'>;
  readonly kind: KubeKind;
  readonly finalizer: string;
}

/**
 * Sees to it that the object bears the finalizer; do so before the first thing that deletion has to undo. The object as it
 * is then. ETL_CONFLICT when it is being deleted, or another one of its name is in its place.
 */
export async function addFinalizer<T extends KubeObject>(
  options: FinalizerOptions,
  object: T,
  signal?: AbortSignal,
): Promise<T> {
  const changed = await patchFinalizers(options, object, signal, (found) => {
    if (found.metadata.deletionTimestamp !== undefined) {
      throw new EtlError(
        'ETL_CONFLICT',
        `${describeRef(refOf(options.kind, found))} is being deleted; nothing is begun for it`,
      );
    }
    const { finalizers = [] } = found.metadata;
    if (finalizers.includes(options.finalizer)) return [];
    return finalizers.length === 0
      ? [{ op: 'add', path: '/metadata/finalizers', value: [options.finalizer] }]
      : [{ op: 'add', path: '/metadata/finalizers/-', value: options.finalizer }];
  });
  if (changed === undefined) {
    throw new EtlError(
      'ETL_CONFLICT',
      `${describeRef(refOf(options.kind, object))} was deleted meanwhile; nothing is begun for it`,
    );
  }
  return changed;
}

/** Sees to it that the object does not bear the finalizer; what is gone bears none. */
export async function removeFinalizer(
  options: FinalizerOptions,
  object: KubeObject,
  signal?: AbortSignal,
): Promise<void> {
  await patchFinalizers(options, object, signal, (found) => {
    const index = found.metadata.finalizers?.indexOf(options.finalizer) ?? -1;
    if (index < 0) return [];
    const path = `/metadata/finalizers/${index}`;
    return [
      { op: 'test', path, value: options.finalizer },
      { op: 'remove', path },
    ];
  });
}

/** Patches until it holds; undefined when the object is gone. */
async function patchFinalizers<T extends KubeObject>(
  options: FinalizerOptions,
  object: T,
  signal: AbortSignal | undefined,
  change: (found: T) => readonly JsonPatchOperation[],
): Promise<T | undefined> {
  const { client, kind } = options;
  const ref: ObjectRef = refOf(kind, object);
  let found: T | undefined = object;
  for (let attempt = 1; found !== undefined; attempt++) {
    const operations = change(found);
    if (operations.length === 0) return found;
    const { uid, resourceVersion } = found.metadata;
    const asFound: JsonPatchOperation[] = [
      { op: 'test', path: '/metadata/uid', value: uid },
      { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
    ];
    try {
      return await client.jsonPatch<T>(ref, [...asFound, ...operations], { signal });
    } catch (error) {
      const outdated = isConflict(error) || isStatus(error, 422) || isNotFound(error);
      if (!outdated || attempt === attemptsMax) throw error;
    }
    found = await readSame(client, ref, object, signal);
  }
  return undefined;
}

async function readSame<T extends KubeObject>(
  client: Pick<RawKube, 'get'>,
  ref: ObjectRef,
  object: T,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  try {
    const found = await client.get<T>(ref, { signal });
    return found.metadata.uid === object.metadata.uid ? found : undefined;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
