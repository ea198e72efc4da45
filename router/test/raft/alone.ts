// A member that is its whole cluster, for tests of what lies under and above consensus.

import { ManualClock, seededRandom, silentLogger } from '@etl-router/core';
import { RaftNode, type RaftNodeOptions } from '../../src/raft/node.ts';
import { noTransport } from '../../src/raft/transport.ts';

/** What a test says of it. */
export type AloneOptions = Pick<RaftNodeOptions, 'log'> & Partial<RaftNodeOptions>;

export function nodeAlone(options: AloneOptions): RaftNode {
  const { clusterId = 'test-cluster', nodeId = 1 } = options;
  return new RaftNode({
    transport: noTransport,
    clock: new ManualClock(),
    random: seededRandom(7),
    logger: silentLogger,
    founders: [{ id: nodeId, name: 'alone', address: '127.0.0.1:50052' }],
    ...options,
    ...{ clusterId, nodeId },
  });
}
