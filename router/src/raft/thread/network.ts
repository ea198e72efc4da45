// The network of a member in the log's thread: how its cluster is found, and who is listened to.

import { EtlError } from '@etl-router/core';
import { nsOfMs } from '../../server/numbers.ts';
import { restampProposal } from '../../state/proposal.ts';
import type { FoundingMember, Identity } from '../../storage/data-directory.ts';
import { mintClusterId } from '../../storage/data-directory.ts';
import type { LogReader } from '../../storage/log-types.ts';
import { nodeDisk } from '../../storage/node-disk.ts';
import { checkMessage, checkTermJump } from '../check-message.ts';
import type { GivenPeer } from '../grpc/greet-peers.ts';
import { checkOwnCertificate } from '../grpc/own-certificate.ts';
import { GrpcTransport } from '../grpc/transport.ts';
import type { Message } from '../messages.ts';
import type { RaftNode } from '../node.ts';
import type { Belonging, MemberParts } from './member.ts';

/** Who takes part. */
export interface Participant {
  readonly belonging: Belonging;
  readonly log: LogReader;
  readonly node: RaftNode;
}

export class Network {
  readonly transport: GrpcTransport;
  readonly #parts: MemberParts;

  private constructor(transport: GrpcTransport, parts: MemberParts) {
    this.transport = transport;
    this.#parts = parts;
  }

  static async listen(parts: MemberParts, { nodeId, name, clusterId }: Identity): Promise<Network> {
    const { options, clock, random, logger } = parts;
    const { listenAddress, ownAddress: address, security } = options.network;
    await checkOwnCertificate(security, { name, clusterId }, clock.wallMs());
    const transport = await GrpcTransport.listen({
      self: { id: nodeId, name, clusterId, ...(address !== undefined && { address }) },
      listenAddress,
      security,
      snapshots: { disk: nodeDisk, directory: options.directory.snapshotDirectory },
      ...{ clock, random, logger },
    });
    return new Network(transport, parts);
  }

  /** Waits until it is clear whether this member founds a cluster or joins one. */
  async find(
    peers: readonly GivenPeer[],
    signal: AbortSignal,
  ): Promise<{ readonly clusterId: string; readonly founding: readonly FoundingMember[] }> {
    const found = await this.transport.greetPeers(peers, signal);
    if (found.kind === 'join') return { clusterId: found.clusterId, founding: [] };
    return { clusterId: mintClusterId(this.#parts.random), founding: found.members };
  }

  /** What other members hand over gets this one's time. */
  readonly restamp = (command: Uint8Array): Uint8Array =>
    restampProposal(command, nsOfMs(this.#parts.clock.wallMs()));

  /** From now on messages are taken. */
  start({ belonging, log, node }: Participant): void {
    const { clusterId, nodeId } = belonging.identity;
    const { receiver } = node;
    this.transport.start({
      clusterId,
      receiver: {
        ...receiver,
        receive: (message) => {
          receiver.receive(message);
          this.#parts.onReceived();
        },
      },
      isInitialised: () => log.lastIndex > 0 || belonging.founding.length > 0,
      term: () => log.hardState.term,
      isRemoved: (id) => node.membership.removed.includes(id),
      check: (message) => checkInbound(message, nodeId, log.hardState.term),
    });
  }

  close(): Promise<void> {
    return this.transport.close();
  }
}

/** Throws what ends the stream that a message came on. */
function checkInbound(message: Message, id: number, term: number): void {
  const why = checkMessage(message, id);
  if (why !== undefined) throw new EtlError('ETL_INVALID_ARGUMENT', why);
  const jump = checkTermJump(message, term);
  if (jump !== undefined) throw jump;
}
