// The copy of a kind that handlers read: by key, by namespace, by index. Objects are frozen, since they are shared. Whoever
// listens is told of each change in order; listeners only put keys into queues, and a listener that throws costs nobody else.

import {
  type Clock,
  EtlError,
  isEtlError,
  type Logger,
  silentLogger,
  sleep,
} from '@etl-router/core';
import { linkSignal } from './kube-caller.ts';
import { type KubeKind, type KubeObject, keyOf } from './kube-object.ts';
import { type IndexFunction, ObjectIndex } from './object-index.ts';
import { Reflector, type ReflectorOptions } from './reflector.ts';
import type { WatchEvent } from './watch-stream.ts';

/** Errors of a server that can not be asked, as opposed to one that refuses. */
const awayCodes: readonly string[] = ['ETL_UNAVAILABLE', 'ETL_TIMEOUT'];

/** What happened to an object. */
export type ObjectChange<T extends KubeObject> =
  | { readonly type: 'added'; readonly object: T; readonly fromList: boolean }
  | {
      readonly type: 'updated';
      readonly object: T;
      readonly previous: T;
      readonly fromList: boolean;
    }
  | { readonly type: 'deleted'; readonly object: T; readonly fromList: boolean };

/** Told of each change. It must return at once. */
export type ChangeListener<T extends KubeObject> = (change: ObjectChange<T>) => void;

export interface InformerOptions<T extends KubeObject> extends Omit<ReflectorOptions<T>, 'target'> {
  readonly indexes?: { readonly [name: string]: IndexFunction<T> };
  /** Others are of use without this one: where the server refuses the kind it counts as synced, and stays unlisted. */
  readonly mayBeRefused?: boolean;
  /** What is kept of an object. Default: all but `metadata.managedFields`. */
  readonly trim?: (object: T) => T;
}

/** An informer as those see it who start, watch and end it, whatever it holds. */
export type CacheView = Pick<
  Informer<KubeObject>,
  | 'kind'
  | 'namespace'
  | 'synced'
  | 'listed'
  | 'served'
  | 'refusedForMs'
  | 'lastEventAtMs'
  | 'failure'
  | 'start'
  | 'whenSynced'
  | 'close'
>;

export class Informer<T extends KubeObject> {
  readonly kind: KubeKind;
  /** Undefined: it holds the kind of all namespaces. */
  readonly namespace: string | undefined;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #trim: (object: T) => T;
  readonly #indexes: ReadonlyMap<string, ObjectIndex<T>>;
  readonly #reflector: Reflector<T>;
  readonly #listeners = new Set<ChangeListener<T>>();
  readonly #objects = new Map<string, T>();
  readonly #versions = new Map<string, string>();
  readonly #ending = new AbortController();
  #running: Promise<void> | undefined;
  readonly #mayBeRefused: boolean;
  #isExcused = false;
  #onSynced: (() => void)[] = [];

  constructor(options: InformerOptions<T>) {
    this.kind = options.kind;
    this.namespace = options.selection?.namespace;
    this.#mayBeRefused = options.mayBeRefused === true;
    this.#clock = options.clock;
    this.#logger = options.logger ?? silentLogger;
    this.#trim = options.trim ?? withoutManagedFields;
    this.#indexes = new Map(
      Object.entries(options.indexes ?? {}).map(([name, of]) => [
        name,
        new ObjectIndex(of, (err, key) =>
          this.#logger.error(
            { kind: options.kind.plural, index: name, key, err },
            'an index failed',
          ),
        ),
      ]),
    );
    this.#reflector = new Reflector({
      ...options,
      target: {
        replace: (items) => this.#replace(items),
        change: (event) => this.#change(event),
        refused: () => this.#excuse(),
        versions: () => this.#versions,
      },
    });
  }

  /** True once nobody has to wait for it any more: it is {@link listed}, or was refused where that may be. */
  get synced(): boolean {
    return this.listed || this.#isExcused;
  }

  /** True once everything that was there at the start is here. Absence means nothing before. */
  get listed(): boolean {
    return this.#reflector.synced;
  }

  /** False where the server refuses to show the kind: what is held may be nothing, or of old, and is nothing to act on. */
  get served(): boolean {
    return this.listed && this.refusedForMs === undefined;
  }

  /** See {@link Reflector.refusedForMs}. */
  get refusedForMs(): number | undefined {
    return this.#reflector.refusedForMs;
  }

  /** See {@link Reflector.lastEventAtMs}. */
  get lastEventAtMs(): number | undefined {
    return this.#reflector.lastEventAtMs;
  }

  /** Why the copy is not kept in step at this moment, if it is not. */
  get failure(): Error | undefined {
    return this.#reflector.failure;
  }

  /** Starts once; more calls do nothing. */
  start(): void {
    this.#running ??= this.#reflector.run(this.#ending.signal);
  }

  /**
   * Resolves when {@link synced}; ETL_CANCELLED when closed before; ETL_TIMEOUT after `timeoutMs`, unless the server is
   * away: then no error helps, and starting anew would only add its own waits.
   */
  async whenSynced(timeoutMs: number): Promise<void> {
    if (this.synced) return;
    const giveUp = new AbortController();
    const unlink = linkSignal(this.#ending.signal, giveUp);
    const synced = new Promise<void>((resolve) => {
      this.#onSynced.push(resolve);
    });
    const late = this.#whenPresent(timeoutMs, giveUp.signal).then(
      () => {
        const place = this.namespace === undefined ? '' : ` of ${this.namespace}`;
        const why = this.failure === undefined ? '' : `: ${this.failure.message}`;
        throw new EtlError(
          'ETL_TIMEOUT',
          `${this.kind.plural}${place} could not be listed within ${timeoutMs} ms${why}`,
        );
      },
      () => this.#ending.signal.throwIfAborted(),
    );
    try {
      await Promise.race([synced, late]);
    } finally {
      unlink();
      giveUp.abort();
    }
  }

  /** Resolves at the end of the first such time after which the server is not away. */
  async #whenPresent(timeMs: number, signal: AbortSignal): Promise<void> {
    do await sleep(this.#clock, timeMs, signal);
    while (isEtlError(this.failure) && awayCodes.includes(this.failure.code));
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  /** All objects, or those of a namespace. */
  list(namespace?: string): T[] {
    const all = [...this.#objects.values()];
    return namespace === undefined
      ? all
      : all.filter(({ metadata }) => metadata.namespace === namespace);
  }

  /** The objects that an index finds under a value. */
  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name);
    if (index === undefined)
      throw new EtlError('ETL_INTERNAL', `${this.kind.plural} have no index "${name}"`);
    return index.find(value).flatMap((key) => this.#objects.get(key) ?? []);
  }

  /** Tells `listener` of what is there and of each change from now on; the result ends that. */
  listen(listener: ChangeListener<T>): () => void {
    this.#listeners.add(listener);
    for (const object of this.#objects.values()) {
      this.#tellOne(listener, { type: 'added', object, fromList: true });
    }
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#ending.abort(
      new EtlError('ETL_CANCELLED', `the informer of ${this.kind.plural} is closed`),
    );
    await this.#running;
  }

  #replace(items: readonly T[]): void {
    const listed = new Set(items.map(keyOf));
    for (const [key, object] of [...this.#objects]) {
      if (!listed.has(key)) this.#remove(key, object, true);
    }
    for (const item of items) this.#put(item, true);
    this.#tellSynced();
  }

  #excuse(): void {
    if (!this.#mayBeRefused) return;
    this.#isExcused = true;
    this.#tellSynced();
  }

  #tellSynced(): void {
    for (const resolve of this.#onSynced.splice(0)) resolve();
  }

  #change({ type, object }: WatchEvent<T>): void {
    if (type !== 'DELETED') return this.#put(object, false);
    const key = keyOf(object);
    const held = this.#objects.get(key);
    // The last state of what is gone is what the event says, should it be the same object.
    if (held !== undefined && held.metadata.uid === object.metadata.uid)
      this.#remove(key, this.#kept(object), false);
  }

  #put(incoming: T, fromList: boolean): void {
    const key = keyOf(incoming);
    const held = this.#objects.get(key);
    if (
      held?.metadata.uid === incoming.metadata.uid &&
      held?.metadata.resourceVersion === incoming.metadata.resourceVersion
    )
      return;
    // Another object of the same name: the first one went in between, and nobody said so.
    if (held !== undefined && held.metadata.uid !== incoming.metadata.uid)
      this.#remove(key, held, fromList);
    const previous = this.#objects.get(key);
    const object = this.#kept(incoming);
    this.#objects.set(key, object);
    this.#versions.set(key, object.metadata.resourceVersion ?? '');
    for (const index of this.#indexes.values()) {
      if (previous !== undefined) index.remove(key, previous);
      index.add(key, object);
    }
    this.#tell(
      previous === undefined
        ? { type: 'added', object, fromList }
        : { type: 'updated', object, previous, fromList },
    );
  }

  #remove(key: string, object: T, fromList: boolean): void {
    const held = this.#objects.get(key) as T;
    this.#objects.delete(key);
    this.#versions.delete(key);
    for (const index of this.#indexes.values()) index.remove(key, held);
    this.#tell({ type: 'deleted', object, fromList });
  }

  /** What is kept of an object. Metadata alone comes under another kind; here it is of its own. */
  #kept(incoming: T): T {
    const { apiVersion, kind } = this.kind;
    const object = this.#trim(incoming);
    return deepFreeze(object.kind === kind ? object : { ...object, apiVersion, kind });
  }

  #tell(change: ObjectChange<T>): void {
    for (const listener of this.#listeners) this.#tellOne(listener, change);
  }

  #tellOne(listener: ChangeListener<T>, change: ObjectChange<T>): void {
    try {
      listener(change);
    } catch (error) {
      this.#logger.error(
        { kind: this.kind.plural, key: keyOf(change.object), err: error },
        'a listener failed',
      );
    }
  }
}

/** The caches of each namespace. Those of all namespaces, and of what has none, are of none of them. */
export function byNamespace(informers: readonly CacheView[]): readonly (readonly CacheView[])[] {
  const ofOne = informers.filter(({ namespace }) => namespace !== undefined);
  return [...Map.groupBy(ofOne, ({ namespace }) => namespace).values()];
}

/** Who owns which field is read from the server by those who ask; in a cache it is half of every object. */
function withoutManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields, ...metadata } = object.metadata as KubeObject['metadata'] & {
    readonly managedFields?: unknown;
  };
  return managedFields === undefined ? object : { ...object, metadata };
}

/** Freezes a value and all that it holds. */
export function deepFreeze<V>(value: V): V {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
