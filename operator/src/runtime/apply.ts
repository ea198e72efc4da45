// Makes an object what it should be, by server-side apply under one field manager, and only when that changes something.
// What was applied is remembered on the object as a hash; who edits a field that is ours finds it as it was. An object of
// the same name that is not ours is left alone, and a field that can not be changed in place is told, never worked around.

import { EtlError } from '@etl-router/core';
import { ApiError, isNotFound, isStatus } from './api-error.ts';
import { digestOf, project, sameJson } from './canonical.ts';
import {
  describeRef,
  type KubeKind,
  type KubeObject,
  type ObjectRef,
  refOf,
  type UntypedObject,
} from './kube-object.ts';
import type { RawKube } from './raw-kube.ts';

/** Where the hash of what was applied is. */
export const appliedHashAnnotation = 'etl.router/applied-hash';

/** How many objects the server's own wording is remembered of. */
const rememberedMax = 10_000;

/** What applying came to. */
export type ApplyOutcome<T extends KubeObject> =
  /** It was so already; nothing was sent. */
  | { readonly outcome: 'unchanged'; readonly object: T }
  | { readonly outcome: 'applied'; readonly object: T }
  /** An object of that name is there and belongs to somebody else; nothing was sent. */
  | { readonly outcome: 'foreign'; readonly object: T }
  /** The server does not change these fields of an object that exists: see {@link Applier.orphan}. */
  | {
      readonly outcome: 'immutable';
      readonly object: T;
      readonly fields: readonly string[];
      readonly error: ApiError;
    };

export interface ApplierOptions {
  readonly client: Pick<RawKube, 'get' | 'apply' | 'delete'>;
  /** Owns the fields that are applied. */
  readonly fieldManager: string;
}

export class Applier {
  readonly #options: ApplierOptions;
  /** Digests of what the server made of what was applied, where it says the same in other words, by uid. */
  readonly #wordings = new Map<string, string>();

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /**
   * Applies `desired`. `cached` is the object as a cache knows it; without one the server is asked first, since caches are
   * late; `isAbsent` says that somebody just asked. Whether an object is ours is told by its controller: that of `desired`, when it has one.
   */
  async apply<T extends KubeObject>(
    kind: KubeKind,
    desired: UntypedObject,
    options: {
      readonly cached?: T | undefined;
      readonly isAbsent?: boolean;
      readonly signal?: AbortSignal | undefined;
    } = {},
  ): Promise<ApplyOutcome<T>> {
    const { client, fieldManager } = this.#options;
    const { cached, isAbsent = false, signal } = options;
    const ref = refOf(kind, desired);
    const current = cached ?? (isAbsent ? undefined : await this.#find<T>(ref, signal));
    const marked = withHash(desired);
    if (current !== undefined) {
      if (!belongsWith(current, desired)) return { outcome: 'foreign', object: current };
      if (this.#isApplied(current, marked)) return { outcome: 'unchanged', object: current };
    }
    try {
      const object = await client.apply<T>(ref, marked, { fieldManager, signal });
      this.#remember(object, marked);
      return { outcome: 'applied', object };
    } catch (error) {
      const fields = current === undefined ? [] : immutableFields(error);
      if (current === undefined || fields.length === 0) throw error;
      return { outcome: 'immutable', object: current, fields, error: error as ApiError };
    }
  }

  /** Deletes an object and leaves what it owns, so that the next run makes it anew around that. */
  async orphan(kind: KubeKind, object: KubeObject, signal?: AbortSignal): Promise<void> {
    const { uid } = object.metadata;
    if (uid === undefined) {
      throw new EtlError(
        'ETL_INTERNAL',
        `${describeRef(refOf(kind, object))} has no uid: it was never read from the server`,
      );
    }
    await this.#options.client.delete(refOf(kind, object), { uid, propagation: 'Orphan', signal });
  }

  async #find<T extends KubeObject>(ref: ObjectRef, signal?: AbortSignal): Promise<T | undefined> {
    try {
      return await this.#options.client.get<T>(ref, { signal });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #isApplied(current: KubeObject, marked: UntypedObject): boolean {
    if (hashOn(current) !== hashOn(marked)) return false;
    const said = project(current, marked);
    return (
      sameJson(said, marked) || this.#wordings.get(current.metadata.uid ?? '') === digestOf(said)
    );
  }

  #remember(object: KubeObject, marked: UntypedObject): void {
    const said = project(object, marked);
    const uid = object.metadata.uid ?? '';
    this.#wordings.delete(uid);
    if (sameJson(said, marked)) return;
    this.#wordings.set(uid, digestOf(said));
    const [oldest] = this.#wordings.keys();
    if (this.#wordings.size > rememberedMax && oldest !== undefined) this.#wordings.delete(oldest);
  }
}

/** The fields that the server refused to change because they never change; empty for any other error. */
export function immutableFields(error: unknown): readonly string[] {
  if (!isStatus(error, 422)) return [];
  const fields = error.causes.flatMap(({ field, message }) =>
    neverChanges.test(message ?? '') ? [field ?? 'spec'] : [],
  );
  if (fields.length > 0) return fields;
  return neverChanges.test(error.message) ? ['spec'] : [];
}

/** How the server's validations say that a field of an object that exists stays as it is. */
const neverChanges =
  /immutable|updates to .* are forbidden|may not (be )?changed?|cannot (be )?changed?/i;

function withHash(desired: UntypedObject): UntypedObject {
  const { metadata } = desired;
  const hash = digestOf(desired);
  // JSON without undefined fields: what is compared is what is sent.
  return JSON.parse(
    JSON.stringify({
      ...desired,
      metadata: {
        ...metadata,
        annotations: { ...metadata.annotations, [appliedHashAnnotation]: hash },
      },
    }),
  ) as UntypedObject;
}

function hashOn(object: KubeObject): string | undefined {
  return object.metadata.annotations?.[appliedHashAnnotation];
}

/** Whether an object has the controller that `desired` says. What has none on either side belongs to who applies it. */
function belongsWith(current: KubeObject, desired: KubeObject): boolean {
  return controllerOf(current) === controllerOf(desired);
}

function controllerOf(object: KubeObject): string | undefined {
  return object.metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid;
}
