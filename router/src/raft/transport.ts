// What the driver asks of a network, and what it hears from it. The network of processes is grpc/; the simulator has
// one of its own.

import type { ProposalOptions, Proposed } from '../consensus/consensus.ts';
import type { Configuration } from './configuration.ts';
import type { SnapshotWish } from './core-state.ts';
import type { Message } from './messages.ts';

/** Someone to talk to. */
export interface Peer {
  readonly id: number;
  readonly name: string;
  /** `host:port` of its Raft port. */
  readonly address: string;
}

/** Where clients reach a member, `host:port` each; undefined: it has not said. */
export interface ApiAddresses {
  readonly grpcAddress?: string | undefined;
  readonly httpAddress?: string | undefined;
}

/** Where clients reach the member of that id. */
export interface Contact extends ApiAddresses {
  readonly id: number;
}

/** A snapshot to stream, and the members as of it. */
export interface SnapshotShipment extends SnapshotWish {
  readonly configuration: Configuration;
}

export interface RaftTransport {
  /** Sends what it can and drops the rest. Never blocks, never throws. */
  send(messages: readonly Message[]): void;
  /** Streams the snapshot file of that position; the receiver hears how it went. */
  sendSnapshot(shipment: SnapshotShipment): void;
  /** Who belongs to the cluster from now on, this member left out. */
  setPeers(peers: readonly Peer[]): void;
  /** Where clients reach the members, this one among them, as far as they said; another list when that changes. */
  readonly contacts: readonly Contact[];
  close(): Promise<void>;
}

export interface RaftReceiver {
  /**
   * A command that another member handed over: proposed here and nowhere else. Every error says what became of it
   * (consensus/outcome.ts).
   */
  propose(command: Uint8Array, options: ProposalOptions): Promise<Proposed>;
  /** A message for this member, or the word that a snapshot's file is durable in the snapshot directory. */
  receive(message: Message): void;
  /** A message to a member was lost for certain. */
  unreachable(id: number): void;
  snapshotSent(id: number, arrived: boolean): void;
}

/** Of a cluster of one. */
export const noTransport: RaftTransport = {
  contacts: [],
  send() {
    // There is nobody.
  },
  sendSnapshot() {
    // There is nobody.
  },
  setPeers() {
    // There is nobody.
  },
  close: () => Promise.resolve(),
};
