// Makes the objects of a cluster what they are to be, in order, and takes away those that nobody wants any more. A field
// that the server does not change in place costs the object and not what it stands for: pods outlive their StatefulSet.

import { isConflict, isNotFound } from '../runtime/api-error.ts';
import type { Applier } from '../runtime/apply.ts';
import { type KubeKind, refOf, type UntypedObject } from '../runtime/kube-object.ts';
import type { RawKube } from '../runtime/raw-kube.ts';
import { childKinds, objectKey } from './objects.ts';

export interface ApplyingOptions {
  readonly client: RawKube;
  readonly applier: Applier;
}

/** What was done. */
export interface Applied {
  /** Something was not so already. */
  readonly changed: boolean;
  /** Objects that the server would not change and that are made anew with the next run. */
  readonly remade: readonly UntypedObject[];
}

/** Kinds that are deleted and made anew at once where a field of theirs can not be changed. */
const replaceable: readonly string[] = ['StatefulSet', 'ClusterRoleBinding'];

/** Applies `wanted`. `live` are the objects as they were last seen; what is not among them was looked for and is not there. */
export async function applyObjects(
  { client, applier }: ApplyingOptions,
  wanted: readonly UntypedObject[],
  how: { readonly live: ReadonlyMap<string, UntypedObject>; readonly signal: AbortSignal },
): Promise<Applied> {
  const { live, signal } = how;
  const remade: UntypedObject[] = [];
  let changed = false;
  for (const object of wanted) {
    const kind = childKinds[object.kind] as KubeKind;
    const cached = live.get(objectKey(object));
    const isAbsent = cached === undefined;
    const result = await applier.apply<UntypedObject>(kind, object, { cached, isAbsent, signal });
    if (result.outcome === 'immutable') {
      if (!replaceable.includes(object.kind)) throw result.error;
      if (object.kind === 'StatefulSet') await applier.orphan(kind, result.object, signal);
      else await deleteSeen(client, kind, result.object, signal);
      remade.push(result.object);
    }
    changed ||= result.outcome !== 'unchanged';
  }
  return { changed, remade };
}

/** Deletes objects as they were seen; one that changed or went since is left to the next run. */
export async function deleteObjects(
  { client }: ApplyingOptions,
  unwanted: readonly UntypedObject[],
  signal: AbortSignal,
): Promise<void> {
  for (const object of unwanted) {
    await deleteSeen(client, childKinds[object.kind] as KubeKind, object, signal);
  }
}

/** Deletes an object of ours, whatever it says by now; another one of its name stays. */
export async function deleteWhatever(
  client: RawKube,
  object: UntypedObject,
  signal: AbortSignal,
): Promise<void> {
  const kind = childKinds[object.kind] as KubeKind;
  const { uid } = object.metadata;
  try {
    await client.delete(refOf(kind, object), { uid, signal });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** The binding of a cluster that goes: it has no owner that takes it along. */
export async function deleteBinding(
  { client }: ApplyingOptions,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const kind = childKinds['ClusterRoleBinding'] as KubeKind;
  try {
    await client.delete({ kind, name }, { signal });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

async function deleteSeen(
  client: RawKube,
  kind: KubeKind,
  object: UntypedObject,
  signal: AbortSignal,
): Promise<void> {
  const { uid, resourceVersion } = object.metadata;
  try {
    await client.delete(refOf(kind, object), { uid, resourceVersion, signal });
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}
