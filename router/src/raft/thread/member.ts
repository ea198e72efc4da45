// Opens what a member has in the log's thread: its log and the core above it, and where there are others the network
// between them. The network's code is loaded only then: alone a router is small.

import type { Clock, Logger, Random } from '@etl-router/core';
import { formatAddress } from '../../config/parse.ts';
import { segmentBytesWithin } from '../../consensus/log-quota.ts';
import { Opened } from '../../opened.ts';
import type { FoundingMember, Identity } from '../../storage/data-directory.ts';
import { defaultSegmentBytes, Log } from '../../storage/log.ts';
import { nodeDisk } from '../../storage/node-disk.ts';
import { strayPeers } from '../bootstrap.ts';
import { decodeMembership } from '../membership.ts';
import { RaftNode } from '../node.ts';
import { type ApiAddresses, noTransport, type Peer } from '../transport.ts';
import type { MemberSurroundings, OpenMember } from './log-host.ts';
import type { Network } from './network.ts';
import type { ThreadOptions } from './thread-options.ts';

export interface MemberParts extends MemberSurroundings {
  readonly options: ThreadOptions;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Who this member is, as of now. */
export interface Belonging {
  readonly identity: Identity;
  readonly founding: readonly FoundingMember[];
}

/** Finds the cluster, where it talks to others and belongs to none yet, and opens the log. */
export async function openMember(parts: MemberParts, signal: AbortSignal): Promise<OpenMember> {
  const opened = new Opened();
  try {
    return await open(parts, opened, signal);
  } catch (error) {
    await opened.abandon();
    throw error;
  }
}

async function open(parts: MemberParts, opened: Opened, signal: AbortSignal): Promise<OpenMember> {
  const { directory, network: wanted } = parts.options;
  let belonging: Belonging = directory;
  let network: Network | undefined;
  const listen = async (): Promise<Network> => {
    const { Network } = await import('./network.ts');
    const listening = await Network.listen(parts, belonging.identity);
    opened.add(() => listening.close());
    return listening;
  };
  if (wanted.isOpen) network = await listen();
  if (network !== undefined && belonging.identity.clusterId === '') {
    const { clusterId, founding } = await network.find(wanted.peers, signal);
    await parts.line.call('adopt', { clusterId, founding });
    belonging = { identity: { ...belonging.identity, clusterId }, founding };
  }
  signal.throwIfAborted();
  const log = await openLog(parts, belonging.identity);
  opened.add(() => log.close());
  const join = async (membership: Uint8Array | undefined): Promise<RaftNode> => {
    const stored = membership === undefined ? [] : decodeMembership(membership).members;
    const stray = strayPeers(wanted.peers, stored);
    if (stray !== undefined) parts.logger.warn(stray);
    // It was grown to a cluster: the members are stored, whatever it is started with.
    if (stored.length > 1) network ??= await listen();
    const node = createNode(parts, { belonging, log, network });
    opened.add(() => node.close());
    network?.start({ belonging, log, node });
    return node;
  };
  const { clusterId } = belonging.identity;
  const announce = (own: ApiAddresses): void => network?.transport.announce(own);
  return { log, clusterId, join, announce, close: () => opened.close() };
}

async function openLog(
  { options, clock, line, onSync }: MemberParts,
  { clusterId, logId }: Identity,
): Promise<Log> {
  const { logCreated, logDirectory } = options.directory;
  const log = await Log.open({
    disk: nodeDisk,
    directory: logDirectory,
    clusterId,
    logId,
    clock,
    segmentBytes: segmentBytesWithin(options.logQuotaBytes, defaultSegmentBytes),
    onSync,
    create: !logCreated,
  });
  if (!logCreated) await line.call('markLogCreated', null);
  return log;
}

function createNode(
  { options, clock, random, logger }: MemberParts,
  {
    belonging,
    log,
    network,
  }: { readonly belonging: Belonging; readonly log: Log; readonly network: Network | undefined },
): RaftNode {
  const { heartbeatMs, electionMs, snapshotInterval, logQuotaBytes } = options;
  const { clusterId, nodeId } = belonging.identity;
  return new RaftNode({
    ...{ log, clusterId, nodeId, clock, random, logger },
    ...{ heartbeatMs, electionMs, snapshotInterval, logQuotaBytes },
    founders: foundersOf(belonging, options),
    transport: network?.transport ?? noTransport,
    ...(network && { forwarder: network.transport.forwarder, restamp: network.restamp }),
  });
}

/** A member that founded its cluster alone is reached, should others come, where it would listen. */
function foundersOf({ founding }: Belonging, { network }: ThreadOptions): readonly Peer[] {
  return founding.map((founder) =>
    founder.address === ''
      ? { ...founder, address: formatAddress(network.listenAddress) }
      : founder,
  );
}
