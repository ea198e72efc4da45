// What a seed is: how many members, how fast their disks and links are, and which faults happen how often. Every seed
// draws a subset, so that some seeds are calm enough to get far and others too wild to get anywhere.

import { type Random, seededRandom } from '@etl-router/core';

/** One generator for each concern, so that what one of them draws does not move the others. */
export interface Randoms {
  readonly network: Random;
  readonly disk: Random;
  readonly clock: Random;
  readonly workload: Random;
  readonly nemesis: Random;
  readonly operator: Random;
}

export function randomsOf(seed: number): Randoms {
  const of = (concern: number): Random => seededRandom(seed * 64 + concern);
  return {
    network: of(1),
    disk: of(2),
    clock: of(3),
    workload: of(4),
    nemesis: of(5),
    operator: of(6),
  };
}

/** A number for a part of a run, far from those of other parts and other runs. */
export function mixSeed(seed: number, part: number): number {
  const mixed = Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) ^ Math.imul(part + 1, 0x85ebca6b);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

export interface Profile {
  readonly members: number;
  /** Members that the cluster is founded with; others are added at once. */
  readonly founders: number;
  readonly clients: number;
  readonly keys: number;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly snapshotInterval: number;
  readonly trailingEntries: number;
  readonly segmentBytes: number;
  readonly paddingBytes: number;
  readonly thinkMs: number;
  readonly readShare: number;
  /** One way: at least, and the mean of what comes on top. */
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly loss: number;
  readonly duplication: number;
  readonly isReordered: boolean;
  /** Messages to a member arrive together, as many as came in that time. */
  readonly gatherMs: number;
  readonly syncMs: number;
  /** Mean time that a batch of rows takes to be stored. */
  readonly applyMs: number;
  /** Whether members hand commands to the leader; otherwise they say who it is. */
  readonly isForwarding: boolean;
  /** Of clients' sessions, services and sidecars: short ones run out where nobody can be reached. */
  readonly leaseMs: number;
  /** Chance of an error of a write or a sync. */
  readonly diskErrors: number;
  readonly isClockSkewed: boolean;
  /** Mean seconds between two of each kind; infinite: never. */
  readonly partitionS: number;
  readonly crashS: number;
  readonly pauseS: number;
  readonly stallS: number;
  readonly wipeS: number;
  readonly outageS: number;
  readonly transferS: number;
  readonly churnS: number;
  readonly restartS: number;
  readonly depositionS: number;
  /** Events of the unsafe phase, and at most so long. */
  readonly maxEvents: number;
  readonly maxMs: number;
}

export function drawProfile(seed: number): Profile {
  const random = seededRandom(seed * 64);
  const one = <Value>(...values: readonly Value[]): Value =>
    values[random.below(values.length)] as Value;
  const every = (chance: number, ...seconds: readonly number[]): number =>
    random.next() < chance ? one(...seconds) : Number.POSITIVE_INFINITY;
  const isWide = random.next() < 0.3;
  // So heavy that what a new leader takes over does not fit one append.
  const isHeavy = seededRandom(seed * 64 + 63).next() < 0.05;
  const members = one(3, 3, 5, 5, 4);
  return {
    members,
    founders: one(1, members, members),
    clients: isHeavy ? 16 : one(2, 4, 6),
    keys: one(1, 3, 8),
    heartbeatMs: 100,
    electionMs: one(500, 1000),
    snapshotInterval: isHeavy ? 50 : one(20, 50, 200, 100_000),
    trailingEntries: one(0, 5, 30),
    segmentBytes: one(4096, 16_384, 65_536),
    paddingBytes: isHeavy ? 160_000 : one(0, 0, 40, 700),
    thinkMs: isHeavy ? 5 : one(5, 30, 100),
    readShare: isHeavy ? 0.1 : one(0.1, 0.4, 0.7),
    delayMs: isWide ? one(20, 50) : one(0.2, 1),
    jitterMs: isWide ? one(5, 50) : one(0.1, 2, 20),
    loss: one(0, 0, 0.01, 0.1, 0.3),
    duplication: one(0, 0, 0.02, 0.3),
    isReordered: random.next() < 0.4,
    gatherMs: one(0, 0, 2, 30),
    syncMs: one(0.1, 2, 20, 150),
    applyMs: one(0, 0, 1, 30),
    isForwarding: random.next() < 0.5,
    leaseMs: one(1000, 3000, 10_000, 60_000),
    diskErrors: one(0, 0, 0, 0.0005),
    isClockSkewed: random.next() < 0.3,
    partitionS: every(0.6, 3, 8, 20),
    crashS: every(0.7, 2, 6, 15),
    pauseS: every(0.3, 5, 15),
    stallS: every(0.3, 5, 15),
    wipeS: every(0.3, 15),
    outageS: every(0.2, 20),
    transferS: every(0.4, 3, 10),
    churnS: every(0.5, 3, 10),
    restartS: every(0.3, 5, 15),
    depositionS: every(0.3, 4, 10),
    maxEvents: isHeavy ? 2500 : 8000,
    maxMs: 60_000,
  };
}
