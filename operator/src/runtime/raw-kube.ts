// The client of the API server: JSON in, the same JSON out. It has the calls that an operator needs and no others; above
// all no "read, change, write back", which loses what others wrote in between.

import {
  type CallOptions,
  KubeCaller,
  type KubeCallerOptions,
  type KubeRequest,
  linkSignal,
  requestAbout,
} from './kube-caller.ts';
import { type KubeKind, type KubeObject, type ObjectRef, pathOfCollection } from './kube-object.ts';
import {
  type ApplyOptions,
  type DeleteOptions,
  eventKind,
  type JsonPatchOperation,
  metadataAs,
  type Page,
  type PageOptions,
  type Selection,
  selectorsOf,
  type WatchOptions,
} from './kube-options.ts';
import { readWatch, type WatchEvent } from './watch-stream.ts';

export class RawKube {
  readonly #caller: KubeCaller;

  constructor(options: KubeCallerOptions) {
    this.#caller = new KubeCaller(options);
  }

  /** Milliseconds since the server last answered without a 5xx; infinite before it did. */
  sinceAnswerMs(): number {
    return this.#caller.sinceAnswerMs();
  }

  /** Reads an object; ETL_NOT_FOUND when it is not there. */
  async get<T extends KubeObject>(ref: ObjectRef, options: CallOptions = {}): Promise<T> {
    return await this.#caller.json<T>({ ...options, ...requestAbout('GET', 'get', ref) });
  }

  /** Reads one page of a kind. */
  async listPage<T extends KubeObject>(
    kind: KubeKind,
    selection: Selection = {},
    options: PageOptions = {},
  ): Promise<Page<T>> {
    const { limit = 500, resourceVersion, ...rest } = options;
    const list = await this.#caller.json<{
      readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
      readonly items?: readonly T[] | null;
    }>({
      ...rest,
      method: 'GET',
      verb: 'list',
      what: kind.plural,
      path: pathOfCollection(kind, selection.namespace),
      query: {
        ...selectorsOf(selection),
        limit,
        continue: options.continue,
        // A continued list says by its token which version it is of.
        resourceVersion: options.continue === undefined ? resourceVersion : undefined,
      },
      accept: selection.metadataOnly === true ? metadataAs('PartialObjectMetadataList') : undefined,
    });
    const items = (list.items ?? []).map((item) => ({
      ...item,
      // Items of built-in kinds come without them.
      apiVersion: item.apiVersion ?? kind.apiVersion,
      kind: item.kind ?? kind.kind,
    }));
    const page = { items, resourceVersion: list.metadata?.resourceVersion ?? '' };
    const next = list.metadata?.continue ?? '';
    return next === '' ? page : { ...page, continue: next };
  }

  /** Watches a kind; resolves once the server has begun to answer. Read the stream to its end, or return from it. */
  async watch<T extends KubeObject>(
    kind: KubeKind,
    selection: Selection,
    options: WatchOptions,
  ): Promise<AsyncGenerator<WatchEvent<T>, void, undefined>> {
    const { resourceVersion, timeoutSeconds, inactivityMs } = options;
    const ending = new AbortController();
    const unlink = linkSignal(options.signal, ending);
    const request: KubeRequest = {
      method: 'GET',
      verb: 'watch',
      what: kind.plural,
      path: pathOfCollection(kind, selection.namespace),
      query: {
        ...selectorsOf(selection),
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion,
        timeoutSeconds,
      },
      accept: selection.metadataOnly === true ? metadataAs('PartialObjectMetadata') : undefined,
      patient: false,
    };
    try {
      const answer = await this.#caller.open(request, ending);
      const { clock } = this.#caller;
      const reading = { clock, inactivityMs, ending, what: kind.plural };
      return readWatch<T>(answer, reading, unlink);
    } catch (error) {
      unlink();
      throw error;
    }
  }

  /** Creates an object; ETL_CONFLICT when there is one of that name. */
  async create<T extends KubeObject>(
    kind: KubeKind,
    object: T,
    options: CallOptions = {},
  ): Promise<T> {
    const { namespace } = object.metadata;
    return await this.#caller.json<T>({
      ...options,
      method: 'POST',
      verb: 'create',
      what: `${kind.kind} ${namespace ?? ''}/${object.metadata.name}`,
      path: pathOfCollection(kind, namespace),
      body: object,
    });
  }

  /** Server-side apply: the server merges what is written down here with what others own. */
  async apply<T extends KubeObject>(
    ref: ObjectRef,
    object: KubeObject,
    options: ApplyOptions,
  ): Promise<T> {
    return await this.#applyTo<T>(ref, undefined, object, options);
  }

  /** Server-side apply of the status. */
  async applyStatus<T extends KubeObject>(
    ref: ObjectRef,
    object: KubeObject,
    options: ApplyOptions,
  ): Promise<T> {
    return await this.#applyTo<T>(ref, 'status', object, options);
  }

  /** Replaces an object that still has the resource version it carries; ETL_CONFLICT otherwise. For leases. */
  async replace<T extends KubeObject>(
    ref: ObjectRef,
    object: T,
    options: CallOptions = {},
  ): Promise<T> {
    return await this.#caller.json<T>({
      ...options,
      ...requestAbout('PUT', 'update', ref),
      body: object,
    });
  }

  /** Changes fields, provided that every `test` holds. */
  async jsonPatch<T extends KubeObject>(
    ref: ObjectRef,
    operations: readonly JsonPatchOperation[],
    options: CallOptions & { readonly subresource?: string } = {},
  ): Promise<T> {
    const { subresource, ...rest } = options;
    return await this.#caller.json<T>({
      ...rest,
      ...requestAbout('PATCH', 'patch', ref, subresource),
      contentType: 'jsonPatch',
      body: operations,
    });
  }

  /** Deletes an object; ETL_NOT_FOUND when it is gone already. */
  async delete(ref: ObjectRef, options: DeleteOptions = {}): Promise<void> {
    const { uid, resourceVersion, propagation, gracePeriodSeconds, ...rest } = options;
    await this.#caller.json<unknown>({
      ...rest,
      ...requestAbout('DELETE', 'delete', ref),
      body: {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        propagationPolicy: propagation ?? 'Background',
        gracePeriodSeconds,
        preconditions: { uid, resourceVersion },
      },
    });
  }

  /** Writes an event down. */
  async createEvent<T extends KubeObject>(event: T, options: CallOptions = {}): Promise<T> {
    return await this.create(eventKind, event, options);
  }

  async #applyTo<T extends KubeObject>(
    ref: ObjectRef,
    subresource: string | undefined,
    object: KubeObject,
    options: ApplyOptions,
  ): Promise<T> {
    const { fieldManager, force = true, ...rest } = options;
    return await this.#caller.json<T>({
      ...rest,
      ...requestAbout('PATCH', 'apply', ref, subresource),
      query: { fieldManager, force },
      contentType: 'apply',
      body: object,
    });
  }
}
