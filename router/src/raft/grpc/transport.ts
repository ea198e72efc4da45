// The network between the members of a router: one port to listen on, two streams to every member (appends, and
// everything else, so that a large append never delays a heartbeat), and snapshots one at a time.

import { type Clock, EtlError, type Logger, type Random } from '@etl-router/core';
import {
  addService,
  bindServer,
  type CallContext,
  closeServer,
  createServer,
} from '@etl-router/proto/grpc';
import { type GreetRequest, type MemberIdentity, RaftService } from '@etl-router/proto/raft';
import type { Server } from '@grpc/grpc-js';
import { listenError } from '../../api/http/listen.ts';
import { type Address, formatAddress, isWildcard } from '../../config/parse.ts';
import type { SnapshotPlace } from '../../storage/snapshot-file.ts';
import { compareNames } from '../bootstrap.ts';
import type { Message } from '../messages.ts';
import type {
  ApiAddresses,
  Contact,
  Peer,
  RaftReceiver,
  RaftTransport,
  SnapshotShipment,
} from '../transport.ts';
import { Contacts } from './contacts.ts';
import { Dialer, encodeGreeting, type Greeting, maxMessageBytes } from './dialer.ts';
import { GrpcForwarder, takeProposal } from './forwarder.ts';
import { type BootstrapResult, type GivenPeer, greetPeers } from './greet-peers.ts';
import {
  checkCluster,
  checkNames,
  decodeIdentity,
  type PeerIdentity,
  type Refusal,
  RefusedPeer,
} from './identity.ts';
import { Inbound } from './inbound.ts';
import { Link, type LinkParts, type LinkState } from './link.ts';
import { Refusals } from './refusals.ts';
import { type PeerSecurity, PeerTls } from './security.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import { SnapshotSender } from './snapshot-sender.ts';

export interface GrpcTransportOptions {
  readonly self: {
    readonly id: number;
    readonly name: string;
    /** Where the others reach it; by default where it listens. */
    readonly address?: string;
    /**
     * The cluster that its data directory is of; empty: none yet. Said before {@link GrpcTransport.start} too, so that
     * nobody takes a member that is only starting again for one that holds nothing, and founds another cluster.
     */
    readonly clusterId: string;
  };
  /** Port 0 takes a free one. */
  readonly listenAddress: Address;
  readonly security: PeerSecurity;
  /** Where snapshot files are. */
  readonly snapshots: Pick<SnapshotPlace, 'disk' | 'directory'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Rate of outgoing snapshots. Default 32 MiB/s. */
  readonly snapshotBytesPerS?: number;
  /** A larger snapshot is refused. Default 1 GiB. */
  readonly maxSnapshotBytes?: number;
}

/** What is known once the member belongs to a cluster. */
export interface Participation {
  readonly clusterId: string;
  readonly receiver: RaftReceiver;
  /** Whether it holds log entries or a configuration. */
  readonly isInitialised: () => boolean;
  /** This member's term: snapshots of an older one are refused. Default: none is. */
  readonly term?: () => number;
  /** Whether a member was removed: it is not heard any more. Default: none was. */
  readonly isRemoved?: (id: number) => boolean;
  /** Throws where a message makes no sense; ends the stream it came on. */
  readonly check?: (message: Message) => void;
}

export interface TransportStats {
  /** Members refused, here or when dialled, by reason. */
  readonly refused: { readonly [Reason in Refusal]?: number };
  /** Messages dropped before they left. */
  readonly lost: number;
  readonly links: readonly {
    readonly id: number;
    readonly carries: 'appends' | 'others';
    readonly state: LinkState;
    readonly queuedBytes: number;
  }[];
}

/** The streams to one member. */
interface Links {
  readonly peer: Peer;
  readonly appends: Link;
  readonly others: Link;
}

const appendLimits = { maxMessages: 4096, maxBytes: 16 * 1024 * 1024 };
const otherLimits = { maxMessages: 4096, maxBytes: 1024 * 1024 };
/** Senders that are no members yet: a leader may be one that this member has not heard of. */
const maxGuests = 9;

export class GrpcTransport implements RaftTransport {
  /** Hands commands to other members. */
  readonly forwarder: GrpcForwarder;
  readonly #options: GrpcTransportOptions;
  readonly #tls: PeerTls;
  readonly #dialer: Dialer;
  readonly #inbound: Inbound;
  readonly #sender: SnapshotSender;
  readonly #snapshots: SnapshotReceiver;
  readonly #server: Server;
  readonly #contacts: Contacts;
  readonly #members = new Map<number, Links>();
  readonly #guests = new Map<number, Links>();
  readonly #closing = new Set<Promise<void>>();
  readonly #names = new Map<string, string>();
  readonly #refusals: Refusals;
  readonly #unreachable = new Set<number>();
  readonly #over = new AbortController();
  #clusterId: string;
  #address: string;
  #port = 0;
  #lost = 0;
  #participation: Participation | undefined;

  /** Listens, and answers who it is. Throws ETL_CONFIG_INVALID and ETL_PORT_IN_USE. */
  static async listen(options: GrpcTransportOptions): Promise<GrpcTransport> {
    const { self, listenAddress } = options;
    if (self.address === undefined && isWildcard(listenAddress.host)) {
      throw new EtlError(
        'ETL_CONFIG_INVALID',
        `--raft-addr: ${formatAddress(listenAddress)} tells the other members nothing; give --advertise-raft-addr the name or address at which they reach this one`,
      );
    }
    const tls = await PeerTls.open(options.security, options.logger);
    const transport = new GrpcTransport(options, tls);
    await transport.#bind();
    return transport;
  }

  private constructor(options: GrpcTransportOptions, tls: PeerTls) {
    const { clock, random, logger } = options;
    this.#options = options;
    this.#refusals = new Refusals(clock, logger);
    this.#contacts = new Contacts(options.self.id);
    this.#tls = tls;
    this.#clusterId = options.self.clusterId;
    this.#address = options.self.address ?? formatAddress(options.listenAddress);
    this.#dialer = new Dialer(
      tls,
      () => this.#greeting(),
      (member) => this.#contacts.learn(member),
    );
    const self = (): PeerIdentity => this.#self();
    const admit = (from: MemberIdentity | undefined, context: CallContext): PeerIdentity =>
      this.#admit(from, context);
    this.#inbound = new Inbound({
      clock,
      self,
      admit,
      receive: (message) => this.#receive(message),
      onPresence: (peer, isPresent) => this.#onPresence(peer, isPresent),
    });
    const place = (): SnapshotPlace => ({
      ...options.snapshots,
      clusterId: this.#started().clusterId,
    });
    this.#snapshots = new SnapshotReceiver({
      clock,
      place,
      self,
      admit,
      term: () => this.#started().term?.() ?? 0,
      check: (message) => this.#started().check?.(message),
      receive: (message) => this.#receive(message),
      maxBytes: options.maxSnapshotBytes ?? 1024 ** 3,
    });
    this.#sender = new SnapshotSender({
      dialer: this.#dialer,
      clock,
      random,
      logger,
      place,
      self,
      peerOf: (id) => this.#linksTo(id)?.peer,
      onDone: (id, arrived) => this.#participation?.receiver.snapshotSent(id, arrived),
      onError: (error) => this.#refusals.note(error),
      maxBytesPerS: options.snapshotBytesPerS ?? 32 * 1024 * 1024,
    });
    this.forwarder = new GrpcForwarder({
      dialer: this.#dialer,
      clock,
      self,
      peerOf: (id) => this.#linksTo(id)?.peer,
      onError: (error) => this.#refusals.note(error),
    });
    this.#server = createServer({
      maxMessageBytes,
      channelOptions: { 'grpc.keepalive_time_ms': 5000, 'grpc.keepalive_timeout_ms': 2000 },
    });
  }

  /** The port it listens on. */
  get port(): number {
    return this.#port;
  }

  /** Where the other members reach it. */
  get address(): string {
    return this.#address;
  }

  /** Asks the peers until it is clear who founds the cluster, or which one there is. Rejects when `signal` aborts. */
  async greetPeers(given: readonly GivenPeer[], signal: AbortSignal): Promise<BootstrapResult> {
    for (const { address, name } of given) if (name !== undefined) this.#names.set(address, name);
    return await greetPeers(
      given,
      {
        ...this.#options,
        dialer: this.#dialer,
        self: () => this.#greeting(),
        learn: (address, name) => this.#names.set(address, name),
      },
      AbortSignal.any([signal, this.#over.signal]),
    );
  }

  /** From now on messages are taken from members of the cluster, and sent. */
  start(participation: Participation): void {
    this.#participation = participation;
    this.#clusterId = participation.clusterId;
  }

  send(messages: readonly Message[]): void {
    for (const message of messages) {
      const links = this.#linksTo(message.to);
      if (links === undefined) this.#onLost(message.to, 1);
      else if (message.type === 'appendEntries' && message.entries.length > 0) {
        links.appends.send(message);
      } else links.others.send(message);
    }
  }

  sendSnapshot(shipment: SnapshotShipment): void {
    this.#sender.send(shipment);
  }

  setPeers(peers: readonly Peer[]): void {
    const wanted = new Map(peers.map((peer) => [peer.id, peer]));
    for (const [id, links] of this.#members) {
      const peer = wanted.get(id);
      if (peer !== undefined && isSame(peer, links.peer)) continue;
      this.#members.delete(id);
      this.#closeLinks(links);
    }
    for (const peer of peers) {
      const guest = this.#guests.get(peer.id);
      this.#guests.delete(peer.id);
      const isKnown = guest !== undefined && isSame(guest.peer, peer);
      if (guest !== undefined && !isKnown) this.#closeLinks(guest);
      const links = this.#members.get(peer.id) ?? (isKnown ? guest : this.#linksFor(peer));
      this.#members.set(peer.id, links);
      links.others.open();
    }
    const { isRemoved } = this.#participation ?? {};
    const removed = new EtlError('ETL_PERMISSION_DENIED', 'the member was removed');
    this.#inbound.endOthers(({ id }) => isRemoved?.(id) !== true, removed);
    this.#sender.dropOthers((id) => wanted.has(id));
    this.#contacts.keep(peers);
    this.forwarder.dropOthers((peer) => isSame(peer, wanted.get(peer.id)));
  }

  get contacts(): readonly Contact[] {
    return this.#contacts.all;
  }

  /** Says from now on where clients reach this member; to those that are connected, at once. */
  announce(own: ApiAddresses): void {
    this.#contacts.own = own;
    for (const { peer } of this.#members.values()) {
      // Whoever is not reached greets this member, or is greeted by it, before they exchange anything.
      this.#dialer.greet(peer.address, this.#over.signal).catch(() => undefined);
    }
  }

  stats(): TransportStats {
    const links = [...this.#members.values(), ...this.#guests.values()];
    return {
      refused: this.#refusals.counts,
      lost: this.#lost,
      links: links.flatMap(({ peer, appends, others }) => [
        { id: peer.id, carries: 'appends', state: appends.state, queuedBytes: appends.queuedBytes },
        { id: peer.id, carries: 'others', state: others.state, queuedBytes: others.queuedBytes },
      ]),
    };
  }

  async close(): Promise<void> {
    this.#over.abort(new EtlError('ETL_CANCELLED', 'this member stops'));
    this.#tls.close();
    this.forwarder.close();
    for (const links of [...this.#members.values(), ...this.#guests.values()]) {
      this.#closeLinks(links);
    }
    this.#members.clear();
    this.#guests.clear();
    const stops = new EtlError('ETL_UNAVAILABLE', 'this member stops');
    this.#inbound.endOthers(() => false, stops);
    await this.#sender.close();
    await closeServer(this.#server, AbortSignal.abort());
    await this.#snapshots.close();
    await Promise.all(this.#closing);
  }

  async #bind(): Promise<void> {
    const { listenAddress, clock, logger, self } = this.#options;
    const taker = {
      admit: (from: MemberIdentity | undefined, context: CallContext) =>
        this.#refusals.during(() => this.#admitMember(from, context)),
      receiver: () => this.#started().receiver,
    };
    addService(
      this.#server,
      RaftService,
      {
        greet: (request, context) => this.#refusals.during(() => this.#greet(request, context)),
        exchange: (requests, context) =>
          this.#refusals.reading(this.#inbound.exchange(requests, context)),
        installSnapshot: (requests, context) =>
          this.#refusals.awaiting(this.#snapshots.install(requests, context)),
        propose: (request, context) => takeProposal(request, context, taker),
      },
      { onDefect: (error, method) => logger.error({ err: error, method }, 'a call failed') },
    );
    try {
      this.#port = await bindServer(
        this.#server,
        formatAddress(listenAddress),
        this.#tls.listen(clock),
      );
    } catch (cause) {
      this.#tls.close();
      this.#server.forceShutdown();
      const [code] = /\bE[A-Z]{3,}\b/.exec(String(cause)) ?? [];
      const told = code === undefined ? cause : Object.assign(new Error(String(cause)), { code });
      throw listenError({ address: listenAddress, flag: 'raft-addr' }, told);
    }
    if (self.address === undefined) {
      this.#address = formatAddress({ host: listenAddress.host, port: this.#port });
    }
  }

  #self(): PeerIdentity {
    const { id, name } = this.#options.self;
    const api = this.#contacts.own;
    return { clusterId: this.#clusterId, id, name, address: this.#address, api };
  }

  #greeting(): Greeting {
    const from = this.#self();
    const peers = [...new Set([from.name, ...this.#names.values()])].toSorted(compareNames);
    return { from, peers, initialised: this.#participation?.isInitialised() ?? false };
  }

  #started(): Participation {
    if (this.#participation !== undefined) return this.#participation;
    const { name } = this.#options.self;
    throw new EtlError('ETL_UNAVAILABLE', `member ${name} belongs to no cluster yet`);
  }

  #greet(
    { from, peers }: GreetRequest,
    context: CallContext,
  ): ReturnType<typeof encodeGreeting> & { initialised: boolean } {
    const peer = decodeIdentity(from);
    const { id, name, clusterId } = peer;
    checkNames(peers);
    this.#tls.checkCaller(context.certificate(), name, clusterId);
    const isMember = clusterId === this.#clusterId && this.#members.get(id)?.peer.name === name;
    if (isMember) this.#contacts.learn(peer);
    const greeting = this.#greeting();
    return { ...encodeGreeting(greeting), initialised: greeting.initialised };
  }

  #admit(from: MemberIdentity | undefined, context: CallContext): PeerIdentity {
    const { clusterId, isRemoved } = this.#started();
    const peer = decodeIdentity(from);
    this.#tls.checkCaller(context.certificate(), peer.name, clusterId);
    checkCluster(peer, clusterId);
    const { id, name, address } = peer;
    if (id === this.#options.self.id) {
      throw new RefusedPeer('raftId', `member ${name} (${address}) has the id of this member`);
    }
    if (isRemoved?.(id) === true) {
      throw new RefusedPeer(
        'raftId',
        `member ${id} (${name}) was removed from the cluster; it comes back with a new data directory`,
      );
    }
    const known = this.#members.get(id)?.peer;
    if (known?.name === name) this.#contacts.learn(peer);
    if (known === undefined || known.name === name) return peer;
    throw new RefusedPeer('name', `member ${id} is named ${known.name}, not ${name}`);
  }

  /** As {@link #admit}, and nobody that this member has not heard of. */
  #admitMember(from: MemberIdentity | undefined, context: CallContext): PeerIdentity {
    const peer = this.#admit(from, context);
    if (this.#members.has(peer.id)) return peer;
    throw new RefusedPeer(
      'raftId',
      `member ${peer.id} (${peer.name}) does not belong to the cluster, as far as this one knows`,
    );
  }

  #receive(message: Message): void {
    const { check, receiver } = this.#started();
    check?.(message);
    receiver.receive(message);
  }

  /** A sender that is no member is answered for as long as it sends: this one may only not know of it yet. */
  #onPresence(peer: PeerIdentity, isPresent: boolean): void {
    const { id, name, address } = peer;
    const guest = this.#guests.get(id);
    const member = this.#members.get(id);
    if (!isPresent) {
      this.#guests.delete(id);
      if (guest !== undefined) this.#closeLinks(guest);
    } else if (member !== undefined) {
      member.appends.hurry();
      member.others.hurry();
    } else if (guest === undefined && this.#guests.size < maxGuests) {
      this.#guests.set(id, this.#linksFor({ id, name, address }));
    }
  }

  #linksTo(id: number): Links | undefined {
    return this.#members.get(id) ?? this.#guests.get(id);
  }

  #linksFor(peer: Peer): Links {
    const { clock, random, logger } = this.#options;
    const parts: LinkParts = {
      dialer: this.#dialer,
      clock,
      random,
      logger,
      self: () => this.#self(),
      onLost: (id, count) => this.#onLost(id, count),
      onError: (error) => this.#refusals.note(error),
    };
    return {
      peer,
      appends: new Link(peer, appendLimits, parts),
      others: new Link(peer, otherLimits, parts),
    };
  }

  #closeLinks({ appends, others }: Links): void {
    const closed = Promise.all([appends.close(), others.close()]).then(() => {
      this.#closing.delete(closed);
    });
    this.#closing.add(closed);
  }

  /** The receiver may be the one that is sending just now: it is told in a turn of its own, once for all. */
  #onLost(id: number, count: number): void {
    this.#lost += count;
    if (this.#over.signal.aborted || this.#unreachable.has(id)) return;
    this.#unreachable.add(id);
    queueMicrotask(() => {
      this.#unreachable.delete(id);
      if (!this.#over.signal.aborted) this.#participation?.receiver.unreachable(id);
    });
  }
}

function isSame(a: Peer, b: Peer | undefined): boolean {
  return a.name === b?.name && a.address === b.address;
}
