// One pool of connections to the API server, with the credentials of a kubeconfig or a service account. The files behind
// them are looked at again every ten seconds and after a 401: a new authority, certificate or token takes effect without
// a restart, and streams that are open go on over the connection they have.

import { createHash } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { type Clock, EtlError } from '@etl-router/core';
import { KubeConfig } from '@kubernetes/client-node';

const freshMs = 10_000;
/** Connections at once: watches hold one each, calls share the rest. */
const maxSockets = 128;

/** One HTTP request. */
export interface HttpCall {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: { readonly [name: string]: string };
  readonly body?: string;
  /** Ends the request, and the answer while it is being read. */
  readonly signal: AbortSignal;
}

interface Access {
  readonly options: https.RequestOptions;
  readonly agent: http.Agent;
  readonly fingerprint: string;
  readonly untilMs: number;
}

export class KubeConnection {
  /** Host and port of the server, as metrics name it. */
  readonly host: string;
  readonly #server: URL;
  readonly #clock: Clock;
  #config: KubeConfig;
  #access: Access | undefined;
  #closed = false;

  constructor(config: KubeConfig, clock: Clock) {
    const cluster = config.getCurrentCluster();
    if (cluster === null) {
      throw new EtlError(
        'ETL_CONFIG_INVALID',
        `kubeconfig: context "${config.currentContext}" names no cluster; choose one with kubectl config use-context`,
      );
    }
    this.#config = config;
    this.#clock = clock;
    this.#server = new URL(cluster.server);
    this.host = this.#server.host;
  }

  /** Sends a request; resolves with the head of the answer. A read over a connection that just died is sent once more. */
  async send(call: HttpCall): Promise<http.IncomingMessage> {
    if (this.#closed) throw new EtlError('ETL_CANCELLED', 'the Kubernetes client is closed');
    const access = await this.#current();
    try {
      return await this.#sendOnce(call, access);
    } catch (error) {
      if (call.method !== 'GET' || !(error instanceof StaleConnection)) throw error;
      return await this.#sendOnce(call, access);
    }
  }

  /** Reads the credentials again before the next request. */
  distrust(): void {
    this.#config = copyOf(this.#config);
    if (this.#access !== undefined) this.#access = { ...this.#access, untilMs: -1 };
  }

  /** Ends every connection. */
  close(): void {
    this.#closed = true;
    this.#access?.agent.destroy();
  }

  async #current(): Promise<Access> {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#access;
    if (known !== undefined && nowMs < known.untilMs) return known;
    const options: https.RequestOptions = {};
    await this.#config.applyToHTTPSOptions(options);
    const fingerprint = fingerprintOf(options);
    const kept = this.#access;
    if (kept !== undefined && kept.fingerprint === fingerprint) {
      this.#access = { ...kept, options, untilMs: nowMs + freshMs };
    } else {
      if (kept !== undefined) retire(kept.agent);
      const agent = this.#createAgent(options);
      this.#access = { options, agent, fingerprint, untilMs: nowMs + freshMs };
    }
    return this.#access;
  }

  #createAgent(options: https.RequestOptions): http.Agent {
    const pool = { keepAlive: true, keepAliveMsecs: 30_000, maxSockets, maxFreeSockets: 16 };
    if (this.#config.getCurrentCluster()?.proxyUrl !== undefined) {
      // The client library knows how to go through proxies; its agents are kept alive and replaced like ours.
      this.#config = copyOf(this.#config);
      const agent = options.agent as http.Agent & { keepAlive: boolean };
      agent.keepAlive = true;
      return agent;
    }
    if (this.#server.protocol === 'http:') return new http.Agent(pool);
    const { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized } = options;
    const tls = { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized };
    const given = Object.entries(tls).filter(([, value]) => value !== undefined);
    return new https.Agent({ ...pool, ...Object.fromEntries(given) });
  }

  #sendOnce(call: HttpCall, access: Access): Promise<http.IncomingMessage> {
    const prefix = this.#server.pathname.replace(/\/$/, '');
    const headers: http.OutgoingHttpHeaders = {
      ...(access.options.headers as http.OutgoingHttpHeaders | undefined),
      ...call.headers,
    };
    if (call.body !== undefined) headers['content-length'] = Buffer.byteLength(call.body);
    const request = (this.#server.protocol === 'http:' ? http : https).request({
      protocol: this.#server.protocol,
      hostname: this.#server.hostname.replace(/^\[|\]$/g, ''),
      port: this.#server.port,
      agent: access.agent,
      method: call.method,
      path: prefix + call.path,
      headers,
      signal: call.signal,
      ...(typeof access.options.auth === 'string' ? { auth: access.options.auth } : {}),
    });
    return new Promise((resolve, reject) => {
      request.once('response', resolve);
      request.on('error', (error: NodeJS.ErrnoException) => {
        const stale = request.reusedSocket && error.code === 'ECONNRESET';
        reject(stale ? new StaleConnection(error.message, { cause: error }) : error);
      });
      request.end(call.body);
    });
  }
}

/** The server had closed a kept connection before it saw the request that was sent over it. */
class StaleConnection extends Error {}

/** What the connections depend on. The bearer token is not of it: it goes with each request. */
function fingerprintOf(options: https.RequestOptions): string {
  const { ca, cert, key, pfx, servername, rejectUnauthorized } = options;
  const parts = JSON.stringify([ca, cert, key, pfx, servername, rejectUnauthorized]);
  return createHash('sha256').update(parts).digest('hex');
}

/** Lets requests that are under way end and keeps none of their connections. */
function retire(agent: http.Agent): void {
  (agent as http.Agent & { keepAlive: boolean }).keepAlive = false;
  for (const sockets of Object.values(agent.freeSockets)) {
    for (const socket of sockets ?? []) socket.destroy();
  }
}

/** The same configuration with nothing remembered: tokens and certificates are read anew. */
function copyOf(config: KubeConfig): KubeConfig {
  const copy = new KubeConfig();
  const { clusters, users, contexts, currentContext } = config;
  copy.loadFromOptions({ clusters, users, contexts, currentContext });
  return copy;
}
