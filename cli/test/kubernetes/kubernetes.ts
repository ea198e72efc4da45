// A Kubernetes of this process: an API server by HTTP with the objects that a test gives it, tokens, rights, and ports of
// pods behind which routers answer that the test plays. Sockets are real on both sides.

import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import { acceptPort } from './web-socket.ts';

export interface Fields {
  readonly [field: string]: unknown;
}

interface Seen {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
}

/** What the router of a pod was asked, and with which credentials. */
export interface Asked {
  readonly pod: string;
  /** The document, or the path beside GraphQL. */
  readonly query: string;
  /** Length of the body. */
  readonly bytes: number;
  readonly authorization: string | undefined;
}

export type RouterAnswer = (asked: Asked, response: ServerResponse) => void;

export class FakeKubernetes {
  /** Objects by path, such as `/api/v1/namespaces/shop/pods/main-1`. */
  readonly objects: Map<string, Fields> = new Map();
  /** What the router in each pod answers; without one nobody listens there. */
  readonly routers: Map<string, RouterAnswer> = new Map();
  /** Paths that are answered with a status of HTTP and a message. */
  readonly refused: Map<string, readonly [number, string]> = new Map();
  /** Pods to which no port is ever opened, and nothing is said. */
  readonly silent: Set<string> = new Set();
  /** Called when a port of a pod is asked for. */
  onForward: () => void = () => {};
  readonly seen: Seen[] = [];
  readonly asked: Asked[] = [];
  /** The bearer that the API server wants; undefined: whatever comes. */
  token: string | undefined = 'my-token';
  nowMs: number = Date.parse('2026-01-01T00:00:00Z');
  readonly #server = createServer((request, response) => this.#answer(request, response));
  readonly #ports = new Map<string, number>();
  readonly #closing: (() => void)[] = [];
  #folder = '';

  static async start(t: TestContext): Promise<FakeKubernetes> {
    const kubernetes = new FakeKubernetes();
    kubernetes.#server.on('upgrade', (request, socket) => kubernetes.#forward(request, socket));
    kubernetes.#server.listen(0, '127.0.0.1');
    await once(kubernetes.#server, 'listening');
    kubernetes.#folder = await mkdtemp(join(tmpdir(), 'etl-cli-'));
    t.after(() => kubernetes.#close());
    return kubernetes;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Writes a kubeconfig with one context, `here`, and returns its path. */
  async kubeconfig(
    user: Fields = { token: 'my-token' },
    more: { readonly namespace?: string; readonly name?: string } = {},
  ): Promise<string> {
    const { namespace, name = 'config' } = more;
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'here',
      clusters: [{ name: 'fake', cluster: { server: this.url, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'anna', user }],
      contexts: [{ name: 'here', context: { cluster: 'fake', user: 'anna', namespace } }],
    };
    const path = join(this.#folder, name);
    await writeFile(path, JSON.stringify(config));
    return path;
  }

  /** An empty folder that goes with the test. */
  folder(): Promise<string> {
    return mkdtemp(join(this.#folder, 'f-'));
  }

  put(path: string, object: Fields): void {
    this.objects.set(path, object);
  }

  async #close(): Promise<void> {
    for (const close of this.#closing) close();
    this.#server.closeAllConnections();
    this.#server.close();
    await rm(this.#folder, { recursive: true });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', this.url);
    const { authorization } = request.headers;
    const method = request.method ?? '';
    this.seen.push({ method, path: `${url.pathname}${url.search}`, authorization });
    request.resume().on('end', () => {
      const [status, answer] = this.#decide(method, url, authorization);
      response.writeHead(status, {
        'content-type': 'application/json',
        date: new Date(this.nowMs).toUTCString(),
      });
      response.end(JSON.stringify(answer));
    });
  }

  #decide(
    method: string,
    { pathname, searchParams }: URL,
    authorization: string | undefined,
  ): readonly [number, object] {
    if (this.token !== undefined && authorization !== `Bearer ${this.token}`)
      return [401, { kind: 'Status', message: 'Unauthorized' }];
    const refused = this.refused.get(pathname);
    if (refused !== undefined) return [refused[0], { kind: 'Status', message: refused[1] }];
    if (method === 'POST') return requestToken(pathname);
    const object = this.objects.get(pathname);
    if (object !== undefined) return [200, object];
    const under = this.#under(pathname, searchParams.get('labelSelector'));
    if (under !== undefined) return [200, { kind: 'List', items: under, metadata: {} }];
    return [404, { kind: 'Status', message: `${pathname.split('/').at(-1)} not found` }];
  }

  /** The objects of a collection, in one namespace or in all; undefined: there is no such kind. */
  #under(pathname: string, selector: string | null): Fields[] | undefined {
    const plural = pathname.split('/').at(-1) as string;
    const root = pathname.replace(/\/(namespaces\/[^/]+\/)?[^/]+$/, '');
    const namespace = /\/namespaces\/([^/]+)\/[^/]+$/.exec(pathname)?.[1];
    const isThere = [...this.objects.keys()].some(
      (path) => path.startsWith(`${root}/`) && path.split('/').at(-2) === plural,
    );
    if (!isThere && !knownKinds.has(plural) && !this.objects.has(root)) return undefined;
    const wanted = (selector ?? '').split(',').filter(Boolean);
    return [...this.objects]
      .filter(([path]) => {
        const parts = path.split('/');
        return (
          path.startsWith(`${root}/`) &&
          parts.at(-2) === plural &&
          (namespace === undefined || parts.at(-3) === namespace)
        );
      })
      .map(([, object]) => object)
      .filter((object) => {
        const { labels = {} } = object['metadata'] as { labels?: Fields };
        return wanted.every((each) => labels[each.split('=')[0] as string] === each.split('=')[1]);
      });
  }

  #forward(request: IncomingMessage, socket: Duplex): void {
    const url = new URL(request.url ?? '', this.url);
    const { authorization } = request.headers;
    this.seen.push({ method: 'GET', path: `${url.pathname}${url.search}`, authorization });
    this.onForward();
    const refused = this.refused.get(url.pathname);
    if (refused !== undefined) {
      socket.end(`HTTP/1.1 ${refused[0]} No\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    const pod = url.pathname.split('/').at(-2) as string;
    if (this.silent.has(pod)) return;
    void this.#portOf(pod).then((port) => this.#pipe(request, socket, port));
  }

  #pipe(request: IncomingMessage, socket: Duplex, port: number | undefined): void {
    if (port === undefined) {
      const nobody = acceptPort(request, socket, { onData: () => {}, onClose: () => {} });
      nobody.send(
        Buffer.from(
          'error forwarding port 8080 to pod 6a5d, uid : failed to connect to localhost:8080 inside namespace "6a5d", IPv4: dial tcp4 127.0.0.1:8080: connect: connection refused',
        ),
        1,
      );
      return;
    }
    const router = connect(port, '127.0.0.1');
    const forwarded = acceptPort(request, socket, {
      onData: (bytes) => void router.write(bytes),
      onClose: () => router.destroy(),
    });
    router.on('data', (bytes: Buffer) => forwarded.send(bytes));
    router.on('close', () => forwarded.close());
    router.on('error', () => {});
  }

  /** Where the router of a pod listens. */
  async #portOf(pod: string): Promise<number | undefined> {
    const answer = this.routers.get(pod);
    if (answer === undefined) return undefined;
    const known = this.#ports.get(pod);
    if (known !== undefined) return known;
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => {
        body += String(chunk);
      });
      request.on('end', () => {
        const isQuestion = request.url === '/graphql';
        const { query } = (isQuestion ? JSON.parse(body) : { query: request.url }) as {
          query: string;
        };
        const asked = {
          pod,
          query,
          bytes: Buffer.byteLength(body),
          authorization: request.headers.authorization,
        };
        this.asked.push(asked);
        this.routers.get(pod)?.(asked, response);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    this.#ports.set(pod, port);
    return port;
  }
}

/** A token that tells whose it is. */
function requestToken(pathname: string): readonly [number, object] {
  const [namespace, , account] = pathname.split('/').slice(-4);
  return [201, { status: { token: `token-of-${namespace}-${account}` } }];
}

/** Kinds that every server has. */
const knownKinds = new Set([
  'pods',
  'persistentvolumeclaims',
  'deployments',
  'leases',
  'configmaps',
  'poddisruptionbudgets',
]);
