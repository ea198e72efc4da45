// The lanes a service has open, each with the highest epoch it saw. It decides who may go on: a holder of a lower epoch is
// refused for ever. It keeps nothing on disk: a service that starts again learns its lanes from the next OpenLane.

import { EtlError, type Lane, laneKey } from '@etl-router/core';
import type { Stage } from './context.ts';

const lanesMax = 100_000;

/** Lanes by stage, with what a kind of service keeps of each. */
export class OpenLanes<State> {
  readonly #lanes = new Map<string, { epoch: number; state: State }>();

  /**
   * Takes over a lane under `epoch`: `make` gets what is known of it and gives what is to be kept. Throws ETL_FENCED
   * for an epoch below the known one and ETL_LIMIT_EXCEEDED beyond 100,000 lanes.
   */
  open(stage: Stage, lane: Lane, epoch: number, make: (before: State | undefined) => State): State {
    const key = keyOf(stage, lane);
    const known = this.#lanes.get(key);
    if (known !== undefined) check(lane, epoch, known.epoch);
    if (known === undefined && this.#lanes.size >= lanesMax) {
      throw new EtlError(
        'ETL_LIMIT_EXCEEDED',
        `the service has ${lanesMax} lanes open; restart it to forget those that are gone`,
      );
    }
    const state = make(known?.state);
    this.#lanes.set(key, { epoch, state });
    return state;
  }

  /** What is kept of a lane; undefined when it was never opened. Throws ETL_FENCED for a lower epoch than the known. */
  get(stage: Stage, lane: Lane, epoch: number): { epoch: number; state: State } | undefined {
    const known = this.#lanes.get(keyOf(stage, lane));
    if (known !== undefined) check(lane, epoch, known.epoch);
    return known;
  }
}

function check(lane: Lane, epoch: number, known: number): void {
  if (epoch >= known) return;
  throw new EtlError(
    'ETL_FENCED',
    `lane ${laneKey(lane)}: epoch ${epoch} is over, ${known} has taken its place`,
  );
}

function keyOf({ pipeline, stage }: Stage, lane: Lane): string {
  return JSON.stringify([pipeline, stage, laneKey(lane)]);
}
