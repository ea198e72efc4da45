// Opens what a member keeps and makes it take part: its data directory, its log and the state above it, and where there
// are others the network between them. Nothing is handed out before the log is read.

import { type Clock, EtlError, type Logger, type Random } from '@etl-router/core';
import { LevelStore } from './applied/level-store.ts';
import { Replica } from './applied/replica.ts';
import { type Address, formatAddress } from './config/parse.ts';
import { segmentBytesWithin } from './consensus/log-quota.ts';
import { Opened } from './opened.ts';
import { checkMessage, checkTermJump } from './raft/check-message.ts';
import type { GivenPeer } from './raft/grpc/greet-peers.ts';
import type { PeerSecurity } from './raft/grpc/security.ts';
import { GrpcTransport } from './raft/grpc/transport.ts';
import { decodeMembership } from './raft/membership.ts';
import type { Message } from './raft/messages.ts';
import { RaftNode } from './raft/node.ts';
import { noTransport, type Peer } from './raft/transport.ts';
import { nsOfMs } from './server/numbers.ts';
import { StateHost } from './server/state-host.ts';
import { restampProposal } from './state/proposal.ts';
import { DataDirectory, type Identity, mintClusterId } from './storage/data-directory.ts';
import { defaultSegmentBytes, Log, type SyncEvent } from './storage/log.ts';
import { nodeDisk } from './storage/node-disk.ts';

/** Where the other members are. */
export interface MemberNetwork {
  readonly listenAddress: Address;
  /** Members it was started with, itself left out. Without any it founds a cluster by itself. */
  readonly peers: readonly GivenPeer[];
  readonly security: PeerSecurity;
}

export interface MemberStorageOptions {
  /** The router's own folder. */
  readonly path: string;
  /** `--node-id`. */
  readonly name: string;
  readonly network: MemberNetwork;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  /** Entries between two snapshots. */
  readonly snapshotInterval: number;
  /** What the log's files may take. */
  readonly logQuotaBytes: number;
  /** Told of every write of the log. */
  readonly onSync: (event: SyncEvent) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Ends the wait for the other members. */
  readonly signal: AbortSignal;
}

/** Storage that is open, its state as of the last entry. */
export interface MemberStorage {
  readonly identity: Identity;
  readonly host: StateHost;
  readonly consensus: RaftNode;
  /** Closes consensus with its log, then the rows, then gives the directory to others. */
  close(): Promise<void>;
}

/**
 * Resolves when it leads a cluster of its own, or takes part in one. Throws ETL_CONFLICT where another process has the
 * folder, ETL_STORAGE_CORRUPT where it is damaged, ETL_PORT_IN_USE for the port of the members.
 */
export async function openMemberStorage(options: MemberStorageOptions): Promise<MemberStorage> {
  const { path, name, random, network } = options;
  const waits = network.peers.length > 0;
  const directory = await DataDirectory.open({ disk: nodeDisk, path, name, random, waits });
  const opened = new Opened();
  opened.add(() => directory.close());
  try {
    return await open(options, directory, opened);
  } catch (error) {
    await opened.abandon();
    throw error;
  }
}

async function open(
  options: MemberStorageOptions,
  directory: DataDirectory,
  opened: Opened,
): Promise<MemberStorage> {
  const { path, clock, random, logger, network, signal } = options;
  const startedAtMs = clock.monotonicMs();
  let transport: GrpcTransport | undefined;
  if (network.peers.length > 0) transport = await listen(options, directory);
  if (transport !== undefined) opened.add(() => transport?.close());
  if (transport !== undefined && directory.identity.clusterId === '')
    await findCluster(options, { directory, transport });
  signal.throwIfAborted();
  const log = await openLog(directory, options);
  opened.add(() => log.close());
  const store = await LevelStore.open(directory.appliedDirectory);
  opened.add(() => store.close());
  const host = new StateHost();
  const { clusterId, nodeId } = directory.identity;
  const snapshots = { disk: nodeDisk, directory: directory.snapshotDirectory, clusterId };
  const replica = await Replica.open({ store, machine: host, log, snapshots });
  if (transport === undefined && hasOthers(replica.membership)) {
    // It was grown to a cluster: the members are stored, whatever it is started with.
    transport = await listen(options, directory);
    opened.add(() => transport?.close());
  }
  const consensus = new RaftNode({
    ...{ log, clusterId, nodeId, clock, random, logger },
    heartbeatMs: options.heartbeatMs,
    electionMs: options.electionMs,
    snapshotInterval: options.snapshotInterval,
    logQuotaBytes: options.logQuotaBytes,
    founders: foundersOf(directory, network),
    transport: transport ?? noTransport,
    restamp: (command) => restampProposal(command, nsOfMs(clock.wallMs())),
    ...(transport && { forwarder: transport.forwarder }),
  });
  opened.add(() => consensus.close());
  transport?.start(participationOf(directory, { log, consensus }));
  await consensus.start(replica);
  const durationMs = Math.round(clock.monotonicMs() - startedAtMs);
  const { lastIndex, tornBytes } = log;
  const { origin } = store;
  logger.info(
    { path, clusterId, raftId: nodeId, lastIndex, tornBytes, origin, durationMs },
    'the state is read',
  );
  return { identity: directory.identity, host, consensus, close: () => opened.close() };
}

/** A member that founded its cluster alone is reached, should others come, where it would listen. */
function foundersOf(directory: DataDirectory, { listenAddress }: MemberNetwork): readonly Peer[] {
  return directory.founding.map((founder) =>
    founder.address === '' ? { ...founder, address: formatAddress(listenAddress) } : founder,
  );
}

function hasOthers(membership: Uint8Array | undefined): boolean {
  return membership !== undefined && decodeMembership(membership).members.length > 1;
}

function listen(
  { name, network, clock, random, logger }: MemberStorageOptions,
  directory: DataDirectory,
): Promise<GrpcTransport> {
  return GrpcTransport.listen({
    self: { id: directory.identity.nodeId, name, clusterId: directory.identity.clusterId },
    listenAddress: network.listenAddress,
    security: network.security,
    snapshots: { disk: nodeDisk, directory: directory.snapshotDirectory },
    ...{ clock, random, logger },
  });
}

/** Waits until it is clear whether this member founds the cluster or joins one, and remembers which. */
async function findCluster(
  { network, random, signal }: MemberStorageOptions,
  parts: { readonly directory: DataDirectory; readonly transport: GrpcTransport },
): Promise<void> {
  const found = await parts.transport.greetPeers(network.peers, signal);
  if (found.kind === 'join') await parts.directory.adopt(found.clusterId, []);
  else await parts.directory.adopt(mintClusterId(random), found.members);
}

function participationOf(
  directory: DataDirectory,
  { log, consensus }: { readonly log: Log; readonly consensus: RaftNode },
): Parameters<GrpcTransport['start']>[0] {
  const { nodeId } = directory.identity;
  return {
    clusterId: directory.identity.clusterId,
    receiver: consensus.receiver,
    isInitialised: () => log.lastIndex > 0 || directory.founding.length > 0,
    term: () => log.hardState.term,
    isRemoved: (id) => consensus.membership.removed.includes(id),
    check: (message) => checkInbound(message, nodeId, log.hardState.term),
  };
}

/** Throws what ends the stream that a message came on. */
function checkInbound(message: Message, id: number, term: number): void {
  const why = checkMessage(message, id);
  if (why !== undefined) throw new EtlError('ETL_INVALID_ARGUMENT', why);
  const jump = checkTermJump(message, term);
  if (jump !== undefined) throw jump;
}

async function openLog(
  directory: DataDirectory,
  { clock, logQuotaBytes, onSync }: MemberStorageOptions,
): Promise<Log> {
  const { clusterId, logId } = directory.identity;
  const log = await Log.open({
    disk: nodeDisk,
    directory: directory.logDirectory,
    clusterId,
    logId,
    clock,
    segmentBytes: segmentBytesWithin(logQuotaBytes, defaultSegmentBytes),
    onSync,
    create: !directory.logCreated,
  });
  if (!directory.logCreated) await directory.markLogCreated();
  return log;
}
