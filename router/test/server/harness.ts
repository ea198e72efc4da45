// A router over a log that commits at once, for tests of the server's objects. The dials say how often a proposal
// fails and whether a leader answers at all.

import assert from 'node:assert/strict';
import { EtlError, ManualClock, seededRandom, silentLogger } from '@etl-router/core';
import type { Manifest } from '@etl-router/pipeline';
import type { ConsensusStatus, Proposed } from '../../src/consensus/consensus.ts';
import {
  changeMembership,
  type Membership,
  type MembershipChange,
  noMembership,
} from '../../src/raft/membership.ts';
import type { ServerConsensus } from '../../src/server/cluster.ts';
import type { PipelineReport } from '../../src/server/live.ts';
import { Router, type RouterParts } from '../../src/server/router.ts';
import { StateHost } from '../../src/server/state-host.ts';

/** Consensus of one that never waits for a disk. */
export class InstantConsensus implements ServerConsensus {
  readonly entries: Uint8Array[] = [];
  /** Answers of proposals to come that fail with ETL_UNAVAILABLE before they enter the log. */
  failNext = 0;
  membership: Membership = changeMembership(noMembership, {
    steps: [{ step: 'addVoter', id: 1, name: '1', address: '127.0.0.1:1' }],
    autoLeave: false,
  });
  readonly progress = [];
  readonly #host: StateHost;

  constructor(host: StateHost) {
    this.#host = host;
  }

  async propose(entry: Uint8Array): Promise<Proposed> {
    await Promise.resolve();
    if (this.failNext > 0) {
      this.failNext -= 1;
      throw new EtlError('ETL_UNAVAILABLE', 'no leader');
    }
    this.entries.push(entry);
    return { index: this.entries.length, term: 1, result: this.#host.apply(entry).result };
  }

  readIndex(): Promise<number> {
    return Promise.resolve(this.entries.length);
  }

  changeMembers(change: MembershipChange): Promise<Membership> {
    this.membership = changeMembership(this.membership, change);
    return Promise.resolve(this.membership);
  }

  transferTo(): Promise<void> {
    return Promise.resolve();
  }

  watchLeadership(): () => void {
    return () => {
      // It leads from the beginning to the end.
    };
  }

  status(): ConsensusStatus {
    const index = this.entries.length;
    return {
      clusterId: 'test',
      nodeId: 1,
      role: 'leader',
      term: 1,
      leaderId: 1,
      commitIndex: index,
      lastApplied: index,
      firstIndex: 1,
      lastIndex: index,
      logLength: index,
      snapshotIndex: 0,
      logBytes: 0,
      logQuotaBytes: Number.POSITIVE_INFINITY,
      contacts: [],
      pendingProposals: 0,
      failure: undefined,
    };
  }
}

/** A clock that can also leap: timers do not fire in between, as when the machine was suspended. */
export class LeapClock extends ManualClock {
  #leapMs = 0;

  override monotonicMs(): number {
    return super.monotonicMs() + this.#leapMs;
  }

  leap(ms: number): void {
    this.#leapMs += ms;
  }
}

export interface World {
  readonly host: StateHost;
  readonly consensus: InstantConsensus;
  readonly clock: LeapClock;
  readonly router: Router;
}

/** A router that leads, on a clock of its own. */
export function createWorld(options: Partial<RouterParts> = {}): World {
  const host = options.host ?? new StateHost();
  const consensus = new InstantConsensus(host);
  const clock = new LeapClock(1_700_000_000_000);
  const router = new Router({
    host,
    consensus,
    nodeName: '1',
    clock,
    random: seededRandom(1),
    logger: silentLogger,
    ...options,
  });
  router.lead();
  return { host, consensus, clock, router };
}

/** Lets promises that are ready run to their end. */
export async function settle(world?: World): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  await world?.router.planner.settled();
}

export const sourceText = `
apiVersion: etl.router/v1
kind: EtlSource
metadata: {name: in, namespace: shop}
spec: {file: {path: in.jsonl, format: jsonl}}
`;
export const sinkText = `
apiVersion: etl.router/v1
kind: EtlSink
metadata: {name: out, namespace: shop}
spec: {file: {path: out.jsonl, format: jsonl}}
`;
export const pipelineText = `
apiVersion: etl.router/v1
kind: EtlPipeline
metadata: {name: orders, namespace: shop}
spec:
  stages:
    - {name: in, sourceRef: {name: in}}
    - {name: out, sinkRef: {name: out}}
  edges: [{from: in, to: out}]
`;
export const allText: string = [pipelineText, sourceText, sinkText].join('---');

/** A sidecar that runs built-in connectors; its registration. */
export async function withSidecar(world: World, sidecarId = 'shop/pod'): Promise<number> {
  const { registrationId } = await world.router.sidecars.register({
    sidecarId,
    namespace: 'shop',
    offers: ['connectors'],
  });
  return registrationId;
}

/** The pipeline `shop/orders`, applied and assigned. */
export async function withPipeline(world: World): Promise<number> {
  const registrationId = await withSidecar(world);
  await world.router.objects.applyText(allText);
  await settle(world);
  assert.notEqual(world.router.sidecars.assignment('shop/orders'), undefined);
  return registrationId;
}

/** A report of `shop/orders` with nothing to say. */
export function report(change: Partial<PipelineReport> = {}): PipelineReport {
  return {
    pipelineId: 'shop/orders',
    version: 1,
    phase: 'running',
    message: '',
    startedAtMs: 1,
    inFlightRecords: 0,
    inFlightBytes: 0,
    lagRecords: undefined,
    watermarkMs: undefined,
    lastCommitAtMs: undefined,
    stages: [],
    edges: [],
    lanes: [],
    ...change,
  };
}

/** The manifest of an EtlSource with a given spec. */
export function source(name: string, spec: Manifest['spec']): Manifest {
  return {
    apiVersion: 'etl.router/v1',
    kind: 'EtlSource',
    metadata: { name, namespace: 'shop', labels: {}, annotations: {} },
    spec,
  };
}

/** The next item of a stream that must have one. */
export async function next<Item>(stream: AsyncIterator<Item>): Promise<Item> {
  const { value, done } = await stream.next();
  assert.notEqual(done, true, 'the stream ended');
  return value as Item;
}
