// Asks the API server of the Kubernetes that the router runs in: whose a token is (TokenReview), and what its owner may
// do (SubjectAccessReview on the subresource `graphql` of the router's own EtlRouterCluster). Two plain HTTPS calls; a
// router imports no client of Kubernetes. Tokens are never logged, and never part of an error.

import { readFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { EtlError } from '@etl-router/core';
import type { Authority, Caller, Verb } from './access.ts';

export interface KubernetesAuthorityOptions {
  /** Of the API server. */
  readonly host: string;
  readonly port: number;
  /** PEM of the authority that signed its certificate; read again for every call, as it is rotated. */
  readonly caFile: string;
  /** The router's own token; read again for every call, as the kubelet renews it. */
  readonly tokenFile: string;
  /** Who a token must be for. Empty: for the API server, as `kubectl create token` makes it without being asked. */
  readonly audiences: readonly string[];
  /** The EtlRouterCluster this router is a member of. */
  readonly namespace: string;
  readonly cluster: string;
  /** How long a call may take, in milliseconds. Default 5,000. */
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 5000;
const answerMaxBytes = 1024 * 1024;

interface TokenReviewStatus {
  readonly authenticated?: boolean;
  readonly audiences?: readonly string[];
  readonly user?: {
    readonly username?: string;
    readonly uid?: string;
    readonly groups?: readonly string[];
    readonly extra?: { readonly [key: string]: readonly string[] };
  };
}

interface AccessReviewStatus {
  readonly allowed?: boolean;
  readonly denied?: boolean;
}

export class KubernetesAuthority implements Authority {
  readonly #options: KubernetesAuthorityOptions;

  constructor(options: KubernetesAuthorityOptions) {
    this.#options = options;
  }

  async authenticate(token: string, signal?: AbortSignal): Promise<Caller | undefined> {
    const { audiences } = this.#options;
    const spec = { token, ...(audiences.length > 0 && { audiences }) };
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec };
    const path = '/apis/authentication.k8s.io/v1/tokenreviews';
    const {
      authenticated,
      audiences: met = [],
      user,
    } = await this.#ask<TokenReviewStatus>({ path, review }, signal);
    if (authenticated !== true || user?.username === undefined) return undefined;
    // An API server that does not know audiences answers without them.
    if (audiences.length > 0 && !audiences.some((audience) => met.includes(audience)))
      return undefined;
    const { username, uid = '', groups = [], extra = {} } = user;
    return { name: username, uid, groups, extra };
  }

  async allows(caller: Caller, verb: Verb, signal?: AbortSignal): Promise<boolean> {
    const { namespace, cluster } = this.#options;
    const resourceAttributes = {
      ...{ group: 'etl.router', version: 'v1', resource: 'etlrouterclusters' },
      ...{ subresource: 'graphql', namespace, name: cluster, verb },
    };
    const { name, uid, groups, extra } = caller;
    const review = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { user: name, uid, groups, extra, resourceAttributes },
    };
    const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
    const { allowed, denied } = await this.#ask<AccessReviewStatus>({ path, review }, signal);
    return allowed === true && denied !== true;
  }

  /** The status of a review. Throws ETL_UNAVAILABLE for whatever is not one. */
  async #ask<Status>(
    { path, review }: { readonly path: string; readonly review: object },
    signal?: AbortSignal,
  ): Promise<Status> {
    const { caFile, tokenFile, timeoutMs = defaultTimeoutMs } = this.#options;
    const deadline = AbortSignal.timeout(timeoutMs);
    const ended = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
    try {
      const [ca, token] = await Promise.all([readFile(caFile), readFile(tokenFile, 'utf8')]);
      const body = JSON.stringify(review);
      const { status, text } = await this.#post({ path, body, ca, token: token.trim() }, ended);
      if (status !== 201 && status !== 200) throw new Error(`it answered ${status}`);
      const answer = JSON.parse(text) as { readonly status?: Status };
      if (answer.status === undefined) throw new Error('it answered without a status');
      return answer.status;
    } catch (cause) {
      const why = deadline.aborted ? `no answer within ${timeoutMs} ms` : (cause as Error).message;
      throw new EtlError(
        'ETL_UNAVAILABLE',
        `the API server can not be asked who may do this (${why})`,
        { retryable: true, cause },
      );
    }
  }

  #post(
    call: {
      readonly path: string;
      readonly body: string;
      readonly ca: Buffer;
      readonly token: string;
    },
    signal: AbortSignal,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const { host, port } = this.#options;
    const { path, body, ca, token } = call;
    return new Promise((resolve, reject) => {
      const outgoing = httpsRequest(
        {
          ...{ host, port, path, ca, signal, method: 'POST', minVersion: 'TLSv1.2' },
          headers: {
            authorization: `Bearer ${token}`,
            accept: 'application/json',
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
          },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          let bytes = 0;
          incoming.on('data', (chunk: Buffer) => {
            bytes += chunk.length;
            if (bytes > answerMaxBytes) incoming.destroy(new Error('its answer is too long'));
            else chunks.push(chunk);
          });
          incoming.once('error', reject);
          incoming.once('end', () => {
            const text = Buffer.concat(chunks).toString('utf8');
            resolve({ status: incoming.statusCode ?? 0, text });
          });
        },
      );
      outgoing.once('error', reject);
      outgoing.end(body);
    });
  }
}
