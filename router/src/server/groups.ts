// Consumer groups: who shares which partitions, and how far each group is. A member that is a service leaves with its
// registration; the state machine sees to that.

import { type ErrorCode, EtlError } from '@etl-router/core';
import type { StoredGroup } from '@etl-router/proto';
import { toErrorCode } from '../state/proposal.ts';
import { fromCount, msOfNs, toCount } from './numbers.ts';
import { isAlreadyGone, type ProposeOptions, type Proposer } from './proposer.ts';
import type { StateHost } from './state-host.ts';

/** A group and who owns what. */
export interface ConsumerGroup {
  readonly groupId: string;
  /** Stage its members implement; empty when unknown. */
  readonly stage: string;
  /** Rises with every rebalance. */
  readonly generation: number;
  readonly partitions: readonly string[];
  readonly members: readonly {
    readonly memberId: string;
    readonly partitions: readonly string[];
    readonly joinedAtMs: number;
  }[];
}

/** A group as its member sees it. */
export interface Membership {
  readonly generation: number;
  readonly partitions: readonly string[];
}

/** How far a group is in one partition of a source. */
export interface GroupPosition {
  readonly source: string;
  readonly partition: string;
  readonly position: Uint8Array;
}

/** A member's commit. */
export interface GroupCommit {
  readonly groupId: string;
  readonly memberId: string;
  /** As the member knows it; any but the present one is refused with ETL_FENCED. */
  readonly generation: number;
  readonly positions: readonly GroupPosition[];
}

/** The consumer groups of the router. */
export class Groups {
  readonly #host: StateHost;
  readonly #proposer: Proposer;

  constructor(parts: { readonly host: StateHost; readonly proposer: Proposer }) {
    this.#host = parts.host;
    this.#proposer = parts.proposer;
  }

  /** Adds a member. The group is made when there is none; who is in already stays as it is. */
  async join(
    member: { readonly groupId: string; readonly memberId: string; readonly stage?: string },
    options: ProposeOptions = {},
  ): Promise<Membership> {
    const value = { ...member, stage: member.stage ?? '' };
    const { generation, partitions } = await this.#proposer.ask(
      'group',
      { case: 'joinGroup', value },
      options,
    );
    return { generation: toCount(generation), partitions };
  }

  /** Removes a member; the others get what it owned. One that is not there is no error. */
  async leave(groupId: string, memberId: string, options: ProposeOptions = {}): Promise<void> {
    try {
      await this.#proposer.propose({ case: 'leaveGroup', value: { groupId, memberId } }, options);
    } catch (error) {
      if (!isAlreadyGone(error)) throw error;
    }
  }

  /** Says which partitions there are to divide; they stay with their owners as far as an even division allows. */
  async assignPartitions(
    request: {
      readonly groupId: string;
      readonly partitions: readonly string[];
      readonly expectedGeneration?: number;
    },
    options: ProposeOptions = {},
  ): Promise<{ readonly generation: number }> {
    const { groupId, partitions, expectedGeneration } = request;
    const value = {
      groupId,
      partitions: [...partitions],
      ...(expectedGeneration !== undefined && {
        expectedGeneration: fromCount('expected_generation', expectedGeneration),
      }),
    };
    const { generation } = await this.#proposer.ask(
      'group',
      { case: 'assignPartitions', value },
      options,
    );
    return { generation: toCount(generation) };
  }

  /** Moves a group forward, each position on its own, and says which were refused. Safe to repeat. */
  async commit(
    commit: GroupCommit,
    options: ProposeOptions = {},
  ): Promise<readonly { readonly index: number; readonly code: ErrorCode }[]> {
    const { groupId, memberId, generation, positions } = commit;
    const value = {
      groupId,
      memberId,
      generation: fromCount('generation', generation),
      positions: positions.map((at) => ({ ...at })),
    };
    const body = { case: 'commitGroupPositions', value } as const;
    const { refused } = await this.#proposer.ask('commit', body, options);
    return refused.map(({ index, code }) => ({ index, code: toErrorCode(code) }));
  }

  /** Forgets a group without members, with its positions. */
  async drop(groupId: string, options: ProposeOptions = {}): Promise<void> {
    await this.#proposer.propose({ case: 'dropGroup', value: { groupId } }, options);
  }

  get(groupId: string): ConsumerGroup | undefined {
    const row = this.#host.tables.groups.get(groupId);
    return row === undefined ? undefined : toGroup(row);
  }

  /** All groups, in order of their ids. */
  list(): readonly ConsumerGroup[] {
    return Array.from(this.#host.tables.groups.rows(), toGroup);
  }

  /** How far a group is, in order of source and partition. Throws ETL_NOT_FOUND for an unknown group. */
  positions(groupId: string, source?: string): readonly GroupPosition[] {
    const { groups, groupPositions } = this.#host.tables;
    if (groups.get(groupId) === undefined) {
      throw new EtlError('ETL_NOT_FOUND', `group ${groupId} does not exist`);
    }
    return groupPositions.group(groupId).flatMap((key) => {
      const at = groupPositions.get(key)?.position;
      if (at === undefined || (source !== undefined && at.source !== source)) return [];
      return [{ source: at.source, partition: at.partition, position: at.position }];
    });
  }
}

function toGroup(row: StoredGroup): ConsumerGroup {
  return {
    groupId: row.groupId,
    stage: row.stage,
    generation: toCount(row.generation),
    partitions: row.partitions,
    members: row.members.map(({ memberId, partitions, joinedAtNs }) => ({
      memberId,
      partitions,
      joinedAtMs: msOfNs(joinedAtNs),
    })),
  };
}
