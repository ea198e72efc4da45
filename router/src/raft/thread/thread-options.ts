// What the log's thread is started with: plain data, as it is copied into the thread.

import type { LogLevel } from '@etl-router/core';
import type { Address } from '../../config/parse.ts';
import type { FoundingMember, Identity } from '../../storage/data-directory.ts';
import type { GivenPeer } from '../grpc/greet-peers.ts';
import type { PeerSecurity } from '../grpc/security.ts';

/** Where the other members are. */
export interface MemberNetwork {
  readonly listenAddress: Address;
  /** Where the others reach it; undefined: where it listens. */
  readonly ownAddress?: string;
  /** Whether it talks to others: it was told of some, or that it begins alone and others are to come. */
  readonly isOpen: boolean;
  /** Members it was started with, itself left out. Without any it founds a cluster by itself. */
  readonly peers: readonly GivenPeer[];
  readonly security: PeerSecurity;
}

/** How a member keeps its log, and when it takes another one for gone. */
export interface MemberRules {
  readonly heartbeatMs: number;
  readonly electionMs: number;
  /** Entries between two snapshots. */
  readonly snapshotInterval: number;
  /** What the log's files may take. */
  readonly logQuotaBytes: number;
}

/** The data directory, which the main thread holds. */
export interface HeldDirectory {
  readonly identity: Identity;
  readonly founding: readonly FoundingMember[];
  readonly logCreated: boolean;
  readonly logDirectory: string;
  readonly snapshotDirectory: string;
}

export interface ThreadOptions extends MemberRules {
  readonly directory: HeldDirectory;
  readonly network: MemberNetwork;
  /** Of the thread's random numbers. */
  readonly seed: number;
  readonly logLevel: LogLevel;
}
