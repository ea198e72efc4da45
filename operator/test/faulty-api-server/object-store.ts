// What the pretend API server remembers: objects, their versions, who owns which field, and the history that watches are
// served from. Rules are those of a real server as far as operators lean on them: optimistic locking, finalizers, garbage
// collection by owner, generations, writes that change nothing.

import {
  equal,
  isObject,
  type Json,
  type JsonObject,
  leavesOf,
  patched,
  type Stored,
  setLeaf,
  text,
} from './json.ts';

/** A refusal, as HTTP tells it. */
export class Refusal extends Error {
  readonly status: number;
  readonly reason: string;
  readonly causes: JsonObject[];

  constructor(status: number, reason: string, message: string, causes: JsonObject[] = []) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.causes = causes;
  }
}

/** A change, as watches are told of it. */
export interface Change {
  readonly version: number;
  readonly collection: string;
  readonly before: Stored | undefined;
  /** The object after the change; what it was at last, under the version of its end, when it is gone. */
  readonly after: Stored;
  readonly gone: boolean;
}

/** Checks an object before it is stored; what it returns is the complaint. */
export type Validation = (next: Stored, before: Stored | undefined) => string | undefined;

export class ObjectStore {
  /** Told of each change. */
  onChange: (change: Change) => void = () => undefined;
  /** Time of day, as objects are marked with it. */
  now: () => string = () => '2026-01-01T00:00:00Z';
  /** By plural. */
  readonly validations: Map<string, Validation> = new Map();
  readonly #objects = new Map<string, Stored>();
  readonly #history: Change[] = [];
  /** What paged lists continue from. */
  readonly #snapshots = new Map<string, readonly Stored[]>();
  #version = 100;
  #uids = 0;
  #compactedTo = 0;

  get version(): number {
    return this.#version;
  }

  /** The objects of a collection in order of their names; `namespace` narrows it. */
  list(collection: string, namespace?: string): Stored[] {
    const prefix = namespace === undefined ? `${collection}|` : `${collection}|${namespace}|`;
    return [...this.#objects]
      .filter(([key]) => key.startsWith(prefix))
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, object]) => object);
  }

  /** Keeps what a list continues from; the result names it. */
  keepSnapshot(items: readonly Stored[]): string {
    const name = `${this.#version}-${this.#snapshots.size}`;
    this.#snapshots.set(name, items);
    return name;
  }

  snapshot(name: string): readonly Stored[] {
    const items = this.#snapshots.get(name);
    if (items === undefined) throw new Refusal(410, 'Expired', 'the continue parameter is too old');
    return items;
  }

  /** Forgets the history: what starts before now is answered with 410. */
  compact(): void {
    this.#compactedTo = this.#version;
    this.#history.length = 0;
    this.#snapshots.clear();
  }

  /** Changes after `version`, in order. */
  since(version: number): readonly Change[] {
    if (version < this.#compactedTo) {
      throw new Refusal(
        410,
        'Expired',
        `too old resource version: ${version} (${this.#compactedTo})`,
      );
    }
    return this.#history.filter((change) => change.version > version);
  }

  get(key: ObjectKey): Stored {
    const object = this.#objects.get(keyText(key));
    if (object === undefined)
      throw new Refusal(404, 'NotFound', `${key.collection} "${key.name}" not found`);
    return object;
  }

  find(key: ObjectKey): Stored | undefined {
    return this.#objects.get(keyText(key));
  }

  create(key: ObjectKey, body: JsonObject): Stored {
    if (this.find(key) !== undefined) {
      throw new Refusal(409, 'AlreadyExists', `${key.collection} "${key.name}" already exists`);
    }
    return this.#write(key, undefined, structuredClone(body));
  }

  /** Replaces all but the status, or the status alone; a resource version in it must be the stored one. */
  replace(key: ObjectKey, body: JsonObject, subresource?: string): Stored {
    const before = this.get(key);
    const { metadata } = body;
    const version = isObject(metadata) ? metadata['resourceVersion'] : undefined;
    if (version !== undefined && version !== '' && version !== before.metadata.resourceVersion) {
      throw new Refusal(
        409,
        'Conflict',
        'the object has been modified; please apply your changes to the latest version',
      );
    }
    return this.#write(key, before, narrowed(before, body, subresource));
  }

  patch(key: ObjectKey, operations: readonly JsonObject[], subresource?: string): Stored {
    const before = this.get(key);
    const next = patched(before, operations);
    if (next === undefined)
      throw new Refusal(
        422,
        'Invalid',
        'the server rejected our request due to an error in our request',
      );
    return this.#write(key, before, narrowed(before, next, subresource));
  }

  /** Server-side apply: leaves that the manager names are its own; those it no longer names go, unless others own them. */
  apply(
    key: ObjectKey,
    body: JsonObject,
    by: { manager: string; force: boolean },
    subresource?: string,
  ): Stored {
    const before = this.find(key);
    if (before === undefined && subresource !== undefined) this.get(key);
    for (const field of ['uid', 'resourceVersion']) {
      const wanted = (body['metadata'] as JsonObject)[field];
      if (wanted !== undefined && wanted !== before?.metadata[field])
        throw new Refusal(409, 'Conflict', `the ${field} in the precondition does not match`);
    }
    const wanted = leavesOf(applied(body, subresource));
    const next: JsonObject =
      before === undefined
        ? { apiVersion: body['apiVersion'] as Json, kind: body['kind'] as Json, metadata: {} }
        : structuredClone(before);
    const owner = `${by.manager}/${subresource ?? ''}`;
    const owners = ownersOf(next);
    const stored = leavesOf(next);
    const disputed = [...wanted].filter(
      ([path, value]) =>
        !equal(stored.get(path), value) &&
        Object.entries(owners).some(([other, paths]) => other !== owner && paths.includes(path)),
    );
    if (disputed.length > 0 && !by.force) {
      const causes = disputed.map(([path]) => ({
        reason: 'FieldManagerConflict',
        field: path.replaceAll('\n', '.'),
        message: 'conflict',
      }));
      throw new Refusal(409, 'Conflict', `Apply failed with ${causes.length} conflict`, causes);
    }
    for (const path of owners[owner] ?? []) {
      const others = Object.entries(owners).some(
        ([other, paths]) => other !== owner && paths.includes(path),
      );
      if (!wanted.has(path) && !others) setLeaf(next, path, undefined);
    }
    for (const [path, value] of wanted) setLeaf(next, path, structuredClone(value));
    for (const [path] of disputed) {
      for (const other of Object.keys(owners))
        owners[other] = (owners[other] ?? []).filter((known) => known !== path);
    }
    owners[owner] = [...wanted.keys()];
    return this.#write(key, before, withOwners(next, owners));
  }

  delete(key: ObjectKey, options: JsonObject = {}): Stored {
    const before = this.get(key);
    const wanted = isObject(options['preconditions']) ? options['preconditions'] : {};
    for (const field of ['uid', 'resourceVersion']) {
      if (wanted[field] !== undefined && wanted[field] !== before.metadata[field]) {
        throw new Refusal(409, 'Conflict', `the ${field} in the precondition does not match`);
      }
    }
    if (options['propagationPolicy'] === 'Orphan') this.#orphan(before.metadata.uid);
    if (((before.metadata['finalizers'] ?? []) as Json[]).length === 0)
      return this.#remove(key, before);
    if (before.metadata['deletionTimestamp'] !== undefined) return before;
    return this.#write(key, before, structuredClone(before), true);
  }

  #write(key: ObjectKey, before: Stored | undefined, body: JsonObject, deleting = false): Stored {
    const next = body as Stored;
    const old = before?.metadata;
    const generation = Number(old?.['generation'] ?? 0);
    next.metadata = {
      ...next.metadata,
      name: key.name,
      ...(key.namespace === undefined ? {} : { namespace: key.namespace }),
      uid: old?.uid ?? `uid-${++this.#uids}`,
      resourceVersion: old?.resourceVersion ?? '',
      creationTimestamp: '2026-01-01T00:00:00Z',
      generation:
        before !== undefined && equal(before['spec'], next['spec']) ? generation : generation + 1,
    };
    delete next.metadata['deletionTimestamp'];
    const deletion = old?.['deletionTimestamp'] ?? (deleting ? this.now() : undefined);
    if (deletion !== undefined) next.metadata['deletionTimestamp'] = deletion;
    const kept = (before?.metadata['finalizers'] ?? []) as Json[];
    const finalizers = (next.metadata['finalizers'] ?? []) as Json[];
    if (
      old?.['deletionTimestamp'] !== undefined &&
      finalizers.some((name) => !kept.includes(name))
    ) {
      throw new Refusal(
        422,
        'Invalid',
        'no new finalizers can be added if the object is being deleted',
      );
    }
    const complaint = this.validations.get(key.collection.split('/').at(-1) as string)?.(
      next,
      before,
    );
    if (complaint !== undefined) {
      const field = complaint.split(':', 1)[0] as string;
      throw new Refusal(422, 'Invalid', complaint, [
        { reason: 'FieldValueInvalid', field, message: complaint },
      ]);
    }
    if (before !== undefined && equal(before, next)) return before;
    if (deletion !== undefined && finalizers.length === 0) return this.#remove(key, next);
    next.metadata.resourceVersion = String(++this.#version);
    this.#objects.set(keyText(key), next);
    this.#record({
      version: this.#version,
      collection: key.collection,
      before,
      after: next,
      gone: false,
    });
    if (before === undefined) this.#collectOwnerless(key, next);
    return next;
  }

  /** What names owners of which none is there is collected as well, though not at once. */
  #collectOwnerless(key: ObjectKey, object: Stored): void {
    const owners = (object.metadata['ownerReferences'] ?? []) as JsonObject[];
    if (owners.length === 0) return;
    const alive = new Set([...this.#objects.values()].map(({ metadata }) => metadata.uid));
    if (owners.some((owner) => alive.has(text(owner['uid'])))) return;
    setImmediate(() => {
      if (this.find(key)?.metadata.uid === object.metadata.uid) this.delete(key);
    });
  }

  #remove(key: ObjectKey, before: Stored): Stored {
    this.#objects.delete(keyText(key));
    const after = structuredClone(before);
    after.metadata.resourceVersion = String(++this.#version);
    this.#record({ version: this.#version, collection: key.collection, before, after, gone: true });
    this.#collect(before.metadata.uid);
    return after;
  }

  #record(change: Change): void {
    this.#history.push(change);
    this.onChange(change);
  }

  /** What had this owner and no other goes with it. */
  #collect(uid: string): void {
    for (const [at, object] of [...this.#objects]) {
      const owners = (object.metadata['ownerReferences'] ?? []) as JsonObject[];
      if (!owners.some((owner) => owner['uid'] === uid)) continue;
      const alive = new Set([...this.#objects.values()].map(({ metadata }) => metadata.uid));
      if (!owners.some((owner) => alive.has(text(owner['uid']))) && this.#objects.has(at))
        this.delete(parseKey(at));
    }
  }

  #orphan(uid: string): void {
    for (const [at, object] of [...this.#objects]) {
      const owners = (object.metadata['ownerReferences'] ?? []) as JsonObject[];
      const kept = owners.filter((owner) => owner['uid'] !== uid);
      if (kept.length === owners.length) continue;
      const next = structuredClone(object);
      next.metadata['ownerReferences'] = kept;
      this.#write(parseKey(at), object, next);
    }
  }
}

/** Where an object is: its collection's path without a namespace, its namespace and its name. */
export interface ObjectKey {
  readonly collection: string;
  readonly namespace?: string | undefined;
  readonly name: string;
}

function keyText({ collection, namespace, name }: ObjectKey): string {
  return `${collection}|${namespace ?? ''}|${name}`;
}

function parseKey(text: string): ObjectKey {
  const [collection = '', namespace = '', name = ''] = text.split('|');
  return { collection, name, ...(namespace === '' ? {} : { namespace }) };
}

/** A write of the object leaves the status as it is; one of the status leaves all else. */
function narrowed(before: Stored, next: JsonObject, subresource: string | undefined): JsonObject {
  const copy: JsonObject = structuredClone(subresource === 'status' ? before : next);
  const status = subresource === 'status' ? next['status'] : before['status'];
  if (status === undefined) delete copy['status'];
  else copy['status'] = structuredClone(status);
  const managed = before.metadata['managedFields'];
  if (managed !== undefined)
    (copy['metadata'] as JsonObject)['managedFields'] = structuredClone(managed);
  return copy;
}

/** The part of what is applied that the path it is sent to takes. */
function applied(body: JsonObject, subresource: string | undefined): JsonObject {
  if (subresource === 'status')
    return body['status'] === undefined ? {} : { status: body['status'] };
  const rest = without(body, ['apiVersion', 'kind', 'status', 'metadata']);
  const meta = without(body['metadata'] as JsonObject, [
    'name',
    'namespace',
    'resourceVersion',
    'uid',
  ]);
  return Object.keys(meta).length === 0 ? rest : { ...rest, metadata: meta };
}

function without(object: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

type Owners = { [owner: string]: string[] };

function ownersOf(object: JsonObject): Owners {
  const meta = object['metadata'] as JsonObject;
  const entries = (meta['managedFields'] ?? []) as JsonObject[];
  delete meta['managedFields'];
  return Object.fromEntries(
    entries.map((entry) => [
      `${text(entry['manager'])}/${text(entry['subresource'] ?? '')}`,
      (entry['fieldsV1'] as { paths: string[] }).paths,
    ]),
  );
}

function withOwners(object: JsonObject, owners: Owners): JsonObject {
  const meta = object['metadata'] as JsonObject;
  meta['managedFields'] = Object.entries(owners).map(([owner, paths]) => {
    const [manager = '', subresource = ''] = owner.split('/');
    return { manager, operation: 'Apply', subresource, fieldsV1: { paths } };
  });
  return object;
}
