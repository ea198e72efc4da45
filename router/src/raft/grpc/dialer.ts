// Opens connections to members. Each stream has a connection of its own: on a shared one a receiver that does not read
// a large append would hold up heartbeats too, since grpc-js servers give a connection one small window. Names are
// resolved anew with every dial, and nothing is sent before the other side has said who it is.

import { EtlError, toEtlError } from '@etl-router/core';
import { createClient, type GrpcClient } from '@etl-router/proto/grpc';
import { type GreetResponse, RaftService } from '@etl-router/proto/raft';
import type { Peer } from '../transport.ts';
import {
  checkCluster,
  checkNames,
  decodeIdentity,
  encodeIdentity,
  type PeerIdentity,
  RefusedPeer,
} from './identity.ts';
import type { PeerTls } from './security.ts';

export type RaftClient = GrpcClient<typeof RaftService>;

/** What a member says when it is asked who it is. */
export interface Greeting {
  readonly from: PeerIdentity;
  /** Names of all members it was started with, sorted. */
  readonly peers: readonly string[];
  /** It holds log entries or a configuration. */
  readonly initialised: boolean;
}

/** Largest message between members. */
export const maxMessageBytes: number = 4 * 1024 * 1024;
const greetDeadlineMs = 2000;

const channelOptions = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.keepalive_time_ms': 5000,
  'grpc.keepalive_timeout_ms': 2000,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
  'grpc-node.flow_control_window': 256 * 1024,
  // Sent in the handshake in place of the address; certificates are checked for the member's name.
  'grpc.ssl_target_name_override': 'etl-router',
  'grpc.default_authority': 'etl-router',
};

export class Dialer {
  readonly #tls: PeerTls;
  readonly #self: () => Greeting;
  readonly #onMember: (member: PeerIdentity) => void;

  /** `onMember` is told what each member of the cluster that is dialled says of itself. */
  constructor(tls: PeerTls, self: () => Greeting, onMember: (member: PeerIdentity) => void) {
    this.#tls = tls;
    this.#self = self;
    this.#onMember = onMember;
  }

  /** Asks who answers at an address. */
  async greet(address: string, signal: AbortSignal): Promise<Greeting> {
    const { client, greeting } = await this.#open(address, signal);
    client.close();
    return greeting;
  }

  /** A client of a member of this cluster, to be closed by the caller. Throws {@link RefusedPeer} for anyone else. */
  async connect(peer: Peer, signal: AbortSignal): Promise<RaftClient> {
    const { client, greeting } = await this.#open(peer.address, signal);
    try {
      checkExpected(greeting.from, peer, this.#self().from.clusterId);
      this.#onMember(greeting.from);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async #open(
    address: string,
    signal: AbortSignal,
  ): Promise<{ readonly client: RaftClient; readonly greeting: Greeting }> {
    const { credentials, checkName } = await this.#tls.dial();
    signal.throwIfAborted();
    const client = createClient(RaftService, address, credentials, {
      maxMessageBytes,
      channelOptions,
    });
    try {
      const self = this.#self();
      const answer = await client.greet(encodeGreeting(self), {
        signal,
        deadlineMs: greetDeadlineMs,
      });
      const greeting = decodeGreeting(answer);
      checkName(greeting.from.name, self.from.clusterId);
      return { client, greeting };
    } catch (error) {
      client.close();
      throw worded(toEtlError(error), address);
    }
  }
}

export function encodeGreeting({ from, peers }: Greeting): {
  from: ReturnType<typeof encodeIdentity>;
  peers: string[];
} {
  return { from: encodeIdentity(from), peers: [...peers] };
}

function decodeGreeting({ from, peers, initialised }: GreetResponse): Greeting {
  return { from: decodeIdentity(from), peers: checkNames(peers), initialised };
}

function checkExpected(found: PeerIdentity, expected: Peer, clusterId: string): void {
  const { name, address } = expected;
  if (found.clusterId === '') {
    throw new EtlError('ETL_UNAVAILABLE', `member ${name} (${address}) has not started yet`);
  }
  checkCluster(found, clusterId);
  if (found.name !== name) {
    throw new RefusedPeer('name', `${address} is member ${found.name}, not member ${name}`);
  }
  if (found.id !== expected.id) {
    throw new RefusedPeer(
      'raftId',
      `member ${name} (${address}) has id ${found.id}, not ${expected.id}: its data directory was replaced; remove member ${expected.id} and add ${found.id}`,
    );
  }
}

/** How grpc-js words that there was no connection: a sentence around what the socket or TLS said. */
const noConnection =
  /^No connection established\. Last error: (?:Error: )?(.*?)\.? Resolution note: /s;

/** The reason alone. Who ends a handshake says nothing of why, so what it can be is said here, and it is no absence. */
function worded(error: EtlError, address: string): EtlError {
  const reason = noConnection.exec(error.message)?.[1];
  if (reason === undefined) return error;
  const isAway = /\bE[A-Z]{4,}\b/.test(reason);
  if (isAway) return new EtlError(error.code, reason, { retryable: true, cause: error });
  const why = reason.startsWith('Failed to connect')
    ? `${address} ended the connection in the handshake; see that both use TLS or neither does, and that it trusts the certificate of this member`
    : `the handshake with ${address} failed: ${reason}`;
  return new EtlError('ETL_UNAUTHENTICATED', why, { retryable: false, cause: error });
}
