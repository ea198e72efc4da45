// Both ends of a member's line in one thread, over a real channel: the log's host with a node alone over a disk in
// memory, and what the main thread has of it.

import type { TestContext } from 'node:test';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { type EtlError, ManualClock, seededRandom } from '@etl-router/core';
import type { RaftNode, RaftNodeOptions } from '../../../src/raft/node.ts';
import type { Port } from '../../../src/raft/thread/line.ts';
import { LogHost } from '../../../src/raft/thread/log-host.ts';
import type { LoopDelay } from '../../../src/raft/thread/protocol.ts';
import { type LogFacts, RaftThread } from '../../../src/raft/thread/raft-thread.ts';
import {
  type DiskFault,
  type DiskOperation,
  MemoryDisk,
} from '../../../src/storage/memory-disk.ts';
import { clusterId, openLog } from '../../storage/log-harness.ts';
import { nodeAlone } from '../alone.ts';
import { FakeState } from '../fake-state.ts';

export const nodeId = 77;
export const heartbeatMs = 100;

export interface BothEnds {
  readonly thread: RaftThread;
  readonly state: FakeState;
  readonly facts: LogFacts;
  readonly clock: ManualClock;
  /** What the log's end drives. */
  readonly node: RaftNode;
  readonly delays: readonly LoopDelay[];
  /** Messages that went to the main thread so far. */
  readonly messages: () => number;
  /** Ends the log's end without a word. */
  readonly die: (error: EtlError) => void;
}

export interface BothEndsOptions extends Partial<RaftNodeOptions> {
  readonly fault?: (operation: DiskOperation) => DiskFault | undefined;
}

/** Starts both; all of it ends with the test. */
export async function startBothEnds(
  t: TestContext,
  { fault, ...options }: BothEndsOptions = {},
): Promise<BothEnds> {
  const { port1, port2 } = new MessageChannel();
  const clock = new ManualClock();
  const disk = new MemoryDisk({ random: seededRandom(1), ...(fault && { fault }) });
  const state = new FakeState();
  const delays: LoopDelay[] = [];
  const started = { node: undefined as RaftNode | undefined, messages: 0 };
  const counted: Port = {
    postMessage: (frames, transfer) => {
      started.messages += 1;
      port2.postMessage(frames, transfer);
    },
    on: (_, listener) => port2.on('message', listener),
  };
  new LogHost({
    port: counted,
    clock,
    tickMs: heartbeatMs / 2,
    takeDelay: () => ({ p99Ms: 1, maxMs: 2 }),
    openMember: async () => {
      const log = await openLog(disk, '/data/log', { create: true });
      return {
        log,
        clusterId,
        join: () => {
          started.node = nodeAlone({ log, clusterId, nodeId, clock, ...options });
          return Promise.resolve(started.node);
        },
        announce: () => undefined,
        close: async () => started.node?.close(),
      };
    },
  });
  const died = Promise.withResolvers<EtlError>();
  const thread = new RaftThread({
    port: port1,
    died: died.promise,
    terminate: () => closePorts(port1, port2),
    ...{ clusterId, nodeId, clock },
    directory: { adopt: () => Promise.resolve(), markLogCreated: () => Promise.resolve() },
    onSync: () => undefined,
    onDelay: (delay) => delays.push(delay),
    onLogLine: () => undefined,
  });
  t.after(() => closePorts(port1, port2));
  const facts = await thread.open(0, new AbortController().signal);
  await thread.start(state);
  const node = started.node as RaftNode;
  return {
    ...{ thread, state, facts, clock, node, delays },
    messages: () => started.messages,
    die: (error) => died.resolve(error),
  };
}

function closePorts(...ports: readonly MessagePort[]): Promise<void> {
  for (const port of ports) port.close();
  return Promise.resolve();
}
