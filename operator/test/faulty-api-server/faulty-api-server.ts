// An API server in this process, for what a real one can not be told to do: reset, hang, fall silent, forget its history,
// answer late or in another order. It takes any kind; what it stores are the objects as they were sent.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '@etl-router/core';
import { KubeConfig } from '@kubernetes/client-node';
import { type Fault, FaultScript, type SeenRequest } from './faults.ts';
import { isObject, type JsonObject, type Stored, type StoredMeta } from './json.ts';
import { type ObjectKey, ObjectStore, Refusal } from './object-store.ts';
import { Watchers } from './watchers.ts';

/** A request that was answered, or would have been. */
export interface LoggedRequest {
  readonly verb: SeenRequest['verb'];
  readonly path: string;
  readonly status: number;
}

/** A certificate and its key, as PEM. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

interface Route {
  readonly collection: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: string;
}

export class FaultyApiServer {
  readonly store: ObjectStore = new ObjectStore();
  readonly faults: FaultScript = new FaultScript();
  readonly watchers: Watchers;
  /** Every request that was carried out, in order. */
  readonly requests: LoggedRequest[] = [];
  /** Connections that were ever accepted. */
  connections = 0;
  /** Requests that ever arrived, those that went wrong too. */
  received = 0;
  /** The `authorization` header of the last request. */
  lastAuthorization: string | undefined;
  /** What is kept of a status that is applied, as by a schema that is older than its writer. */
  prune: ((body: JsonObject) => JsonObject) | undefined;
  readonly #server: Server | TlsServer;

  private constructor(clock: Clock, tls: TlsFiles | undefined) {
    this.watchers = new Watchers(clock);
    this.store.now = () => new Date(clock.wallMs()).toISOString().replace(/\.\d+Z$/, 'Z');
    this.store.onChange = (change) => this.watchers.publish(change);
    const handle = (request: IncomingMessage, response: ServerResponse): void => {
      this.#handle(request, response).catch((error: unknown) => refuse(response, error));
    };
    this.#server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle);
    this.#server.on('connection', () => {
      this.connections += 1;
    });
  }

  /** Starts a server on a free port, by TLS when it is given a certificate. Time (of watches) is that of `clock`. */
  static async start(clock: Clock = systemClock, tls?: TlsFiles): Promise<FaultyApiServer> {
    const server = new FaultyApiServer(clock, tls);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    const scheme = this.#server instanceof TlsServer ? 'https' : 'http';
    return `${scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** A kubeconfig that leads here. */
  kubeConfig(user: JsonObject = {}, cluster: JsonObject = { skipTLSVerify: true }): KubeConfig {
    const config = new KubeConfig();
    config.loadFromOptions({
      clusters: [{ name: 'faulty', server: this.url, ...cluster }],
      users: [{ name: 'tester', ...user }],
      contexts: [{ name: 'faulty', cluster: 'faulty', user: 'tester' }],
      currentContext: 'faulty',
    });
    return config;
  }

  /** Answers new connections with another certificate, and ends the old ones that wait. */
  renew(tls: TlsFiles): void {
    (this.#server as TlsServer).setSecureContext(tls);
    this.#server.closeIdleConnections();
  }

  /** Requests that could have changed something. */
  get writes(): readonly LoggedRequest[] {
    return this.requests.filter(({ verb }) => !['get', 'list', 'watch'].includes(verb));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.received += 1;
    this.lastAuthorization = request.headers.authorization;
    const url = new URL(request.url as string, this.url);
    const route = parseRoute(url.pathname);
    const seen = seenOf(request.method as string, url, route);
    const fault = this.faults.next(seen);
    const text = await readText(request);
    if (await stopped(fault, request, response)) return;
    if (seen.verb === 'watch') return this.#watch(route, seen, request, { response, fault });
    let status = 200;
    let answer: unknown;
    try {
      const body = text === '' ? {} : (JSON.parse(text) as JsonObject);
      answer = this.#answer(route, seen, request, body);
      if (seen.verb === 'create') status = 201;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      status = error.status;
      answer = statusOf(error);
    }
    this.requests.push({ verb: seen.verb, path: seen.path, status });
    if (fault?.do === 'hold') await fault.until;
    if (fault?.do === 'reset-after') request.socket.resetAndDestroy();
    else send(response, status, answer);
  }

  #answer(route: Route, seen: SeenRequest, request: IncomingMessage, body: JsonObject): unknown {
    const { collection, namespace, name, subresource } = route;
    if (seen.verb === 'list') return this.#list(route, seen.query, request);
    const key: ObjectKey = {
      collection,
      namespace,
      name: name ?? (body['metadata'] as StoredMeta).name,
    };
    if (subresource === 'scale') return this.#scale(key, seen.verb, body);
    switch (seen.verb) {
      case 'get':
        return viewOf(request)(this.store.get(key));
      case 'create':
        return this.store.create(key, body);
      case 'update':
        return this.store.replace(key, body, subresource);
      case 'delete':
        return this.store.delete(key, body);
      case 'patch': {
        if (request.headers['content-type'] === 'application/json-patch+json') {
          return this.store.patch(key, body as unknown as JsonObject[], subresource);
        }
        const manager = seen.query.get('fieldManager') ?? 'unknown';
        const force = seen.query.get('force') === 'true';
        const kept = subresource === 'status' ? (this.prune?.(body) ?? body) : body;
        return this.store.apply(key, kept, { manager, force }, subresource);
      }
      case 'watch':
        throw new Error('watches are answered elsewhere');
    }
  }

  #list(route: Route, query: URLSearchParams, request: IncomingMessage): JsonObject {
    const token = query.get('continue');
    const limit = Number(query.get('limit') ?? 0);
    const selects = selectorOf(query);
    const [snapshot = '', from = '0', version = String(this.store.version)] =
      token?.split(' ') ?? [];
    const all =
      token === null
        ? this.store.list(route.collection, route.namespace).filter(selects)
        : this.store.snapshot(snapshot);
    const start = Number(from);
    const items = limit > 0 ? all.slice(start, start + limit) : all.slice(start);
    const end = start + items.length;
    const rest =
      end < all.length
        ? { continue: `${snapshot || this.store.keepSnapshot(all)} ${end} ${version}` }
        : {};
    const view = viewOf(request);
    // As a real server does for built-in kinds, items do not say their kind.
    const untitled = items.map((item) => ({
      ...view(item),
      apiVersion: undefined,
      kind: undefined,
    }));
    return {
      kind: 'List',
      metadata: { resourceVersion: version, ...rest },
      items: untitled as never,
    };
  }

  #watch(
    route: Route,
    seen: SeenRequest,
    request: IncomingMessage,
    out: { readonly response: ServerResponse; readonly fault: Fault | undefined },
  ): void {
    const { response, fault } = out;
    try {
      const past = this.store.since(Number(seen.query.get('resourceVersion') ?? 0));
      this.requests.push({ verb: 'watch', path: seen.path, status: 200 });
      const inSelection = selectorOf(seen.query);
      const { namespace } = route;
      const selects = (object: Stored): boolean =>
        inSelection(object) &&
        (namespace === undefined || object.metadata['namespace'] === namespace);
      const watcher = {
        response,
        collection: route.collection,
        fault,
        selects,
        view: viewOf(request),
        told: 0,
        dead: false,
        cancel: () => undefined,
      };
      this.watchers.open(watcher, Number(seen.query.get('timeoutSeconds') ?? 300), past);
    } catch (error) {
      if (error instanceof Refusal)
        this.requests.push({ verb: 'watch', path: seen.path, status: error.status });
      refuse(response, error);
    }
  }

  #scale(key: ObjectKey, verb: string, body: JsonObject): JsonObject {
    const object = this.store.get(key);
    const spec = object['spec'] as JsonObject;
    if (verb !== 'get') {
      const replicas = (body['spec'] as JsonObject)['replicas'] as number;
      const next = { ...structuredClone(object), spec: { ...spec, replicas } };
      return this.#scale(key, 'get', this.store.replace(key, next));
    }
    const status = (object['status'] ?? {}) as JsonObject;
    const { name, namespace, resourceVersion } = object.metadata;
    return {
      apiVersion: 'autoscaling/v1',
      kind: 'Scale',
      metadata: { name, namespace: namespace as string, resourceVersion },
      spec: { replicas: spec['replicas'] as number },
      status: { replicas: (status['replicas'] ?? 0) as number },
    };
  }
}

/** Faults that leave nothing to answer; true when the request is over. */
async function stopped(
  fault: Fault | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  if (fault?.do === 'reset') {
    request.socket.resetAndDestroy();
    return true;
  }
  if (fault?.do === 'hang') return true;
  if (fault?.do === 'status') {
    if (fault.retryAfterSeconds !== undefined)
      response.setHeader('retry-after', String(fault.retryAfterSeconds));
    refuse(response, new Refusal(fault.status, fault.reason ?? 'Faulty', 'as the script has it'));
    return true;
  }
  return false;
}

function parseRoute(path: string): Route {
  const parts = path.split('/').slice(1).map(decodeURIComponent);
  const root = parts.splice(0, parts[0] === 'api' ? 2 : 3).join('/');
  const namespace =
    parts[0] === 'namespaces' && parts.length > 2 ? parts.splice(0, 2)[1] : undefined;
  const [plural = '', name, subresource] = parts;
  return {
    collection: `/${root}/${plural}`,
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(subresource === undefined ? {} : { subresource }),
  };
}

const verbs: { readonly [method: string]: SeenRequest['verb'] } = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

function seenOf(method: string, url: URL, route: Route): SeenRequest {
  const reading =
    route.name !== undefined ? 'get' : url.searchParams.get('watch') === 'true' ? 'watch' : 'list';
  const plural = route.collection.slice(route.collection.lastIndexOf('/') + 1);
  return {
    verb: verbs[method] ?? reading,
    method,
    path: url.pathname,
    plural,
    query: url.searchParams,
  };
}

/** Equality and existence of labels, and `metadata.name=`. */
function selectorOf(query: URLSearchParams): (object: Stored) => boolean {
  const pairs = (name: string): string[][] =>
    (query.get(name) ?? '')
      .split(',')
      .filter(Boolean)
      .map((pair) => pair.split('='));
  const labels = pairs('labelSelector');
  const fields = pairs('fieldSelector');
  return ({ metadata }) => {
    const own = (metadata['labels'] ?? {}) as JsonObject;
    return (
      labels.every(([key = '', value]) =>
        value === undefined ? own[key] !== undefined : own[key] === value,
      ) && fields.every(([key = '', value]) => metadata[key.replace('metadata.', '')] === value)
    );
  };
}

/** The whole object, or its metadata when that is all the request accepts. */
function viewOf(request: IncomingMessage): (object: Stored) => JsonObject {
  const partial = request.headers.accept?.includes('as=PartialObjectMetadata') === true;
  return (object) =>
    partial
      ? { apiVersion: 'meta.k8s.io/v1', kind: 'PartialObjectMetadata', metadata: object.metadata }
      : object;
}

async function readText(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts).toString();
}

function statusOf({ status, reason, message, causes }: Refusal): JsonObject {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    message,
    reason,
    code: status,
    details: { causes },
  };
}

function refuse(response: ServerResponse, error: unknown): void {
  const refusal =
    error instanceof Refusal ? error : new Refusal(500, 'InternalError', String(error));
  send(response, refusal.status, statusOf(refusal));
}

function send(response: ServerResponse, status: number, answer: unknown): void {
  if (response.destroyed) return;
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(isObject(answer) ? answer : {}));
}
