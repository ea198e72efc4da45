// What the routers of a cluster say of themselves, each asked at its own door and for what it knows itself.

import { type EtlError, isEtlError } from '@etl-router/core';
import { RouterClient } from './client.ts';
import type { GlobalOptions, Io } from './io.ts';
import type { Entrance } from './route.ts';

export interface Member {
  readonly name: string;
  readonly raftId: string;
  readonly address: string;
  /** Null: it has not told the router that was asked. */
  readonly grpcAddress: string | null;
  readonly httpAddress: string | null;
  readonly role: string;
  /** Null: only the leader knows. */
  readonly healthy: boolean | null;
  readonly matchIndex: string | null;
}

export interface Status {
  readonly clusterId: string;
  readonly health: string;
  readonly nodeId: string;
  readonly raftId: string;
  readonly role: string;
  readonly leaderId: string | null;
  readonly currentTerm: string;
  readonly commitIndex: string;
  readonly lastApplied: string;
  readonly logLength: string;
  readonly members: readonly Member[];
}

export const memberFields =
  'members { name raftId address grpcAddress httpAddress role healthy matchIndex }';
export const statusFields = `clusterStatus {
    clusterId health nodeId raftId role leaderId currentTerm commitIndex lastApplied logLength ${memberFields}
  }`;
const ownWordDocument = `query {
  ${statusFields}
  version { version commit node }
}`;

/** The word of one router. */
export interface Word {
  readonly entrance: Entrance;
  /** Undefined: it did not answer. */
  readonly status: Status | undefined;
  readonly version: string | undefined;
  readonly error: EtlError | undefined;
}

/** Asks one router, at a door or at the place of the options. */
export async function askStatus(
  client: RouterClient,
): Promise<{ readonly status: Status; readonly version: string }> {
  const { clusterStatus, version } = await client.query<{
    readonly clusterStatus: Status;
    readonly version: { readonly version: string };
  }>(ownWordDocument);
  return { status: clusterStatus, version: version.version };
}

/** Asks all at once. Throws only what is no failure of a router, such as an interruption. */
export async function askAll(
  entrances: readonly Entrance[],
  globals: GlobalOptions,
  io: Io,
): Promise<readonly Word[]> {
  return Promise.all(
    entrances.map(async (entrance) => {
      try {
        const options = { ...globals, consistency: 'stale' as const };
        const client = new RouterClient(options, io, await entrance.open());
        return { entrance, ...(await askStatus(client)), error: undefined };
      } catch (error) {
        if (!isEtlError(error) || error.code === 'ETL_CANCELLED') throw error;
        return { entrance, status: undefined, version: undefined, error };
      }
    }),
  );
}

/** The leader among those who answered: of two that think they lead, the one of the later term. */
export function leaderOf(words: readonly Word[]): Status | undefined {
  return words
    .flatMap(({ status }) => (status?.role === 'LEADER' ? [status] : []))
    .toSorted((a, b) => Number(b.currentTerm) - Number(a.currentTerm))[0];
}

/** It names members and is none of them, so what it knows of the cluster may be old. Who waits to be added names none. */
export function isOutsider({ raftId, members }: Status): boolean {
  return members.length > 0 && members.every((member) => member.raftId !== raftId);
}

/** What an outsider is, for people. */
export function outsiderWords({ nodeId, raftId, clusterId }: Status): string {
  return `router ${nodeId} (id ${raftId}) is no member of cluster ${clusterId}: it was removed, or is not added yet`;
}

/** Entries a member may lack and still count as one that keeps up. */
export const lagMax = 1000n;

/** Entries that a member lacks of what is committed; undefined: nobody knows. */
export function lagOf(leader: Status | undefined, raftId: string): bigint | undefined {
  const { matchIndex } = leader?.members.find((member) => member.raftId === raftId) ?? {};
  if (leader === undefined || typeof matchIndex !== 'string') return undefined;
  const lag = BigInt(leader.commitIndex) - BigInt(matchIndex);
  return lag < 0n ? 0n : lag;
}
