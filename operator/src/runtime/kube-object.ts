// What every Kubernetes object has in common, and where objects live on the server. Objects stay the JSON they were
// sent as: nothing here drops a field because it does not know it.

/** The bookkeeping of an object. Fields that are not named here are kept all the same. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  /** Opaque: compared for equality only. */
  readonly resourceVersion?: string;
  /** Counts changes of the spec. */
  readonly generation?: number;
  readonly creationTimestamp?: string;
  /** Set: the object goes away once its finalizers are gone. */
  readonly deletionTimestamp?: string;
  /** Seconds that were given from then on; 0: by force. */
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: { readonly [key: string]: string };
  readonly annotations?: { readonly [key: string]: string };
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** Any object. Kinds extend it by the fields that their readers need. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

/** An object whose fields nobody described: for those who write down what they want applied. */
export interface UntypedObject extends KubeObject {
  readonly [field: string]: unknown;
}

/** A kind as the server serves it. */
export interface KubeKind {
  /** Group and version, or the version alone for the core group: `apps/v1`, `v1`. */
  readonly apiVersion: string;
  readonly kind: string;
  /** The name in paths, such as `statefulsets`. */
  readonly plural: string;
  readonly namespaced: boolean;
}

/** One object, by name. */
export interface ObjectRef {
  readonly kind: KubeKind;
  /** Required for namespaced kinds, absent for others. */
  readonly namespace?: string;
  readonly name: string;
}

/** The path of a collection, of all namespaces unless one is named. */
export function pathOfCollection(kind: KubeKind, namespace?: string): string {
  const root = kind.apiVersion.includes('/')
    ? `/apis/${kind.apiVersion}`
    : `/api/${kind.apiVersion}`;
  const scope =
    kind.namespaced && namespace !== undefined
      ? `/namespaces/${encodeURIComponent(namespace)}`
      : '';
  return `${root}${scope}/${kind.plural}`;
}

/** The path of an object, or of a subresource of it such as `status`. */
export function pathOfObject(ref: ObjectRef, subresource?: string): string {
  const own = `${pathOfCollection(ref.kind, ref.namespace)}/${encodeURIComponent(ref.name)}`;
  return subresource === undefined ? own : `${own}/${subresource}`;
}

/** Where an object lives, by what it says of itself. */
export function refOf(kind: KubeKind, object: KubeObject): ObjectRef {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? { kind, name } : { kind, namespace, name };
}

/** `namespace/name`, or `name` of what has no namespace: what queues and caches go by. */
export function keyOf(object: { readonly metadata: ObjectMeta }): string {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** The opposite of {@link keyOf}. */
export function fromKey(key: string): { readonly namespace?: string; readonly name: string } {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** `StatefulSet shop/main`, for messages. */
export function describeRef(ref: ObjectRef): string {
  return `${ref.kind.kind} ${ref.namespace === undefined ? '' : `${ref.namespace}/`}${ref.name}`;
}
