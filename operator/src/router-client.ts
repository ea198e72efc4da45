// The admin interface of the routers, by mutual TLS with the operator's certificate of their cluster. Members are dialled
// by the address of their pod and have to prove the name that the pod has in the cluster. Connections are kept while the
// pod and the certificates are the same. Every call has a deadline and says which leadership of the operator it comes
// from: routers refuse what an earlier one says.

import { createHash } from 'node:crypto';
import { type Clock, EtlError, type Logger, silentLogger, toEtlError } from '@etl-router/core';
import { RouterAdmin } from '@etl-router/proto/admin';
import { type CallOptions, createClient, type GrpcClient } from '@etl-router/proto/grpc';
import { ChannelCredentials } from '@grpc/grpc-js';

/** Tells routers which leadership of the operator a call comes from (its lease's epoch). */
export const epochHeader = 'etl-operator-epoch';

/** How long a question may take. */
const askDeadlineMs = 3000;
/** Calls that a member that is ready may miss before a word is said of it. */
const silentCalls = 3;
/** How long a change of the members may take: it is decided by a majority, and leadership is handed over in it. */
const changeDeadlineMs = 20_000;

/** What the operator shows, and whom it believes. All in PEM. */
export interface RouterCredentials {
  readonly authorities: string;
  readonly certificate: string;
  readonly key: string;
}

/** One member, by where its pod is and who it has to be. */
export interface MemberAddress {
  readonly ordinal: number;
  /** Another pod, another connection. */
  readonly podUid: string;
  /** `host:port`. */
  readonly address: string;
  /** The DNS name that its certificate has to be for. */
  readonly serverName: string;
  /** Its silence is worth a word. */
  readonly isReady: boolean;
}

/** A member as it is called. */
export type AdminCalls = Omit<GrpcClient<typeof RouterAdmin>, 'close'>;

export interface RouterAdminsOptions {
  readonly clock: Clock;
  /** The operator's epoch at this moment. */
  readonly epoch: () => number;
  /** Asked before each change. Default: always yes. */
  readonly mayWrite?: () => boolean;
  readonly logger?: Logger;
  /** Told of each call and the code of its error; undefined: it was answered. */
  readonly onCall?: (method: string, code: string | undefined) => void;
}

/** What a member answered, and how long ago. */
export interface Answer<T> {
  readonly member: MemberAddress;
  readonly value: T;
  readonly atMs: number;
}

interface Connection {
  readonly client: GrpcClient<typeof RouterAdmin>;
  readonly identity: string;
}

interface ClusterConnections {
  readonly digest: string;
  readonly credentials: ChannelCredentials;
  readonly byOrdinal: Map<number, Connection>;
  /** How often in a row members did not answer. */
  readonly silence: Map<number, number>;
}

export class RouterAdmins {
  readonly #options: RouterAdminsOptions;
  readonly #logger: Logger;
  readonly #clusters = new Map<string, ClusterConnections>();

  constructor(options: RouterAdminsOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
  }

  /** Asks all members at once; those that do not answer in time are not among the answers. Others are hung up on. */
  async askAll<T>(
    cluster: string,
    credentials: RouterCredentials,
    question: {
      readonly members: readonly MemberAddress[];
      readonly ask: (calls: AdminCalls, options: CallOptions) => Promise<T>;
      readonly method: string;
      readonly signal: AbortSignal;
    },
  ): Promise<readonly Answer<T>[]> {
    const { members, ask, method, signal } = question;
    const connections = this.#connectionsOf(cluster, credentials);
    hangUp(connections, new Set(members.map(({ ordinal }) => ordinal)));
    const answers = await Promise.all(
      members.map(async (member): Promise<readonly Answer<T>[]> => {
        const { client } = connect(connections, member);
        try {
          const atMs = this.#options.clock.monotonicMs();
          const value = await ask(client, this.#callOptions(askDeadlineMs, signal));
          this.#heard(cluster, connections, member, method);
          return [{ member, value, atMs }];
        } catch (error) {
          this.#missed(connections, { cluster, member, method, error: toEtlError(error) });
          return [];
        }
      }),
    );
    return answers.flat();
  }

  /** Has one member do something. Throws what it answers. */
  async call<T>(
    cluster: string,
    credentials: RouterCredentials,
    request: {
      readonly member: MemberAddress;
      readonly make: (calls: AdminCalls, options: CallOptions) => Promise<T>;
      readonly method: string;
      readonly signal: AbortSignal;
    },
  ): Promise<T> {
    const { member, make, method, signal } = request;
    if (this.#options.mayWrite?.() === false) {
      throw new EtlError(
        'ETL_NOT_LEADER',
        `${method} of ${cluster}: refused, this process does not hold the lease`,
      );
    }
    const { client } = connect(this.#connectionsOf(cluster, credentials), member);
    try {
      const answer = await make(client, this.#callOptions(changeDeadlineMs, signal));
      this.#options.onCall?.(method, undefined);
      return answer;
    } catch (thrown) {
      const error = toEtlError(thrown);
      this.#options.onCall?.(method, error.code);
      throw error;
    }
  }

  /** Hangs up on all members of a cluster. */
  forget(cluster: string): void {
    const connections = this.#clusters.get(cluster);
    if (connections !== undefined) hangUp(connections, new Set());
    this.#clusters.delete(cluster);
  }

  close(): void {
    for (const cluster of [...this.#clusters.keys()]) this.forget(cluster);
  }

  #connectionsOf(cluster: string, credentials: RouterCredentials): ClusterConnections {
    const digest = digestOf(credentials);
    const known = this.#clusters.get(cluster);
    if (known?.digest === digest) return known;
    this.forget(cluster);
    const { authorities, certificate, key } = credentials;
    const connections = {
      digest,
      credentials: ChannelCredentials.createSsl(
        Buffer.from(authorities),
        Buffer.from(key),
        Buffer.from(certificate),
      ),
      byOrdinal: new Map(),
      silence: new Map(known?.silence),
    };
    this.#clusters.set(cluster, connections);
    return connections;
  }

  #callOptions(deadlineMs: number, signal: AbortSignal): CallOptions {
    return { deadlineMs, signal, metadata: { [epochHeader]: String(this.#options.epoch()) } };
  }

  #heard(
    cluster: string,
    connections: ClusterConnections,
    { ordinal }: MemberAddress,
    method: string,
  ): void {
    this.#options.onCall?.(method, undefined);
    if (connections.silence.delete(ordinal))
      this.#logger.info({ cluster, ordinal }, 'member answers');
  }

  #missed(
    { silence }: ClusterConnections,
    what: {
      readonly cluster: string;
      readonly member: MemberAddress;
      readonly method: string;
      readonly error: EtlError;
    },
  ): void {
    const { cluster, member, method, error } = what;
    this.#options.onCall?.(method, error.code);
    const count = (silence.get(member.ordinal) ?? 0) + 1;
    silence.set(member.ordinal, count);
    // Once is what every restart looks like.
    const isNews = member.isReady && count === silentCalls;
    const reason = noConnection.exec(error.message)?.[1] ?? error.message;
    this.#logger[isNews ? 'warn' : 'debug'](
      { cluster, ordinal: member.ordinal, code: error.code, error: reason },
      'member does not answer',
    );
  }
}

/** How grpc-js words that there was no connection: a sentence around what the socket or TLS said. */
const noConnection =
  /^No connection established\. Last error: (?:Error: )?(.*?)\.? Resolution note: /s;

function connect(
  { credentials, byOrdinal }: ClusterConnections,
  { ordinal, podUid, address, serverName }: MemberAddress,
): Connection {
  const identity = `${podUid} ${address}`;
  const known = byOrdinal.get(ordinal);
  if (known?.identity === identity) return known;
  known?.client.close();
  const client = createClient(RouterAdmin, address, credentials, {
    channelOptions: {
      'grpc.ssl_target_name_override': serverName,
      'grpc.default_authority': serverName,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_reconnect_backoff_ms': 2000,
    },
  });
  const connection = { client, identity };
  byOrdinal.set(ordinal, connection);
  return connection;
}

function hangUp({ byOrdinal, silence }: ClusterConnections, but: ReadonlySet<number>): void {
  for (const [ordinal, { client }] of byOrdinal) {
    if (but.has(ordinal)) continue;
    client.close();
    byOrdinal.delete(ordinal);
    silence.delete(ordinal);
  }
}

function digestOf({ authorities, certificate, key }: RouterCredentials): string {
  return createHash('sha256')
    .update(JSON.stringify([authorities, certificate, key]))
    .digest('hex');
}
