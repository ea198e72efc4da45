// What a scenario is given and what it measures.

import type { Random } from '@etl-router/core';
import type { Cluster } from './cluster.ts';
import type { Need } from './isolation.ts';
import type { Volumes } from './volumes.ts';
import type { Workload } from './workload.ts';

/** What a run took in milliseconds; a scenario adds to it. */
export interface Measured {
  /** From the SIGKILL of a leader to the next answered write of any client. */
  readonly failoverMs: number[];
  /** The longest time without an answered write around a planned transfer. */
  readonly transferMs: number[];
}

export interface Stage {
  readonly cluster: Cluster;
  readonly workload: Workload;
  readonly random: Random;
  /** The cluster has to be well again within this time. */
  readonly recoveryMaxMs: number;
  readonly measured: Measured;
  /** File systems of the members' own; only where the scenario needs disks. */
  readonly volumes: Volumes | undefined;
  /** To be called with the last command that ends the harm: from then on the cluster is given time to be well again. */
  readonly heal: () => void;
  /** Notes what was done, for the run's log. */
  readonly say: (text: string) => void;
}

export interface Scenario {
  readonly name: string;
  /** One line for people. */
  readonly about: string;
  readonly needs: readonly Need[];
  /** Entries between snapshots; drawn where it is not given. */
  readonly snapshotInterval?: number;
  /** A member is made to differ: alarms are not false. */
  readonly isDivergent?: true;
  /** Further flags of every router. */
  readonly flags?: readonly string[];
  /** Does the harm and ends it: when it resolves, `heal` was called and the cluster has all it needs to be well again. */
  run(stage: Stage): Promise<void>;
}

/** One of the items. */
export function oneOf<Item>(random: Random, items: readonly Item[]): Item {
  return items[random.below(items.length)] as Item;
}

/** A whole number from `least` to `most`. */
export function between(random: Random, least: number, most: number): number {
  return least + random.below(most - least + 1);
}
