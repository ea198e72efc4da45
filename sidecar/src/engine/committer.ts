// Makes positions durable in the router, many lanes at once, about twice a second. The router may be away: positions
// wait, records flow on. What it refuses because of the epoch ends the lane.

import { EtlError, sleep, toEtlError } from '@etl-router/core';
import type { ControlPlane, LaneCommit } from '../control-plane.ts';
import type { RunContext } from './context.ts';
import type { LaneRun } from './lane-run.ts';
import { backoffMs } from './retry.ts';

/** Commits in one call. */
const maxCommits = 10_000;

interface Due {
  readonly lane: LaneRun;
  readonly position: Uint8Array;
}

export class Committer {
  readonly #context: RunContext;
  readonly #controlPlane: ControlPlane;
  readonly #onRefused: (lane: LaneRun, error: EtlError) => void;
  #committing: Promise<boolean> | undefined;
  #lastCommitAtMs: number | undefined;

  constructor(
    context: RunContext,
    controlPlane: ControlPlane,
    onRefused: (lane: LaneRun, error: EtlError) => void,
  ) {
    this.#context = context;
    this.#controlPlane = controlPlane;
    this.#onRefused = onRefused;
  }

  get lastCommitAtMs(): number | undefined {
    return this.#lastCommitAtMs;
  }

  /** Commits what is resolved; false when the router did not take it. Calls queue up behind each other. */
  async commit(lanes: Iterable<LaneRun>): Promise<boolean> {
    while (this.#committing !== undefined) await this.#committing;
    const due: Due[] = [];
    for (const lane of lanes) {
      const position = lane.committable;
      if (position !== undefined) due.push({ lane, position });
    }
    if (due.length === 0) return true;
    this.#committing = this.#commitAll(due);
    try {
      return await this.#committing;
    } finally {
      this.#committing = undefined;
    }
  }

  /** At-most-once: resolves when the position is durable, however long that takes. */
  async commitFirst(lane: LaneRun, position: Uint8Array, signal: AbortSignal): Promise<void> {
    const { clock, pipeline, random } = this.#context;
    for (let failures = 1; ; failures++) {
      signal.throwIfAborted();
      if (await this.#commitSome([{ lane, position }])) return;
      await sleep(clock, backoffMs(pipeline.delivery.retry, failures, random), signal);
    }
  }

  async #commitAll(due: readonly Due[]): Promise<boolean> {
    for (let at = 0; at < due.length; at += maxCommits) {
      if (!(await this.#commitSome(due.slice(at, at + maxCommits)))) return false;
    }
    return true;
  }

  async #commitSome(due: readonly Due[]): Promise<boolean> {
    const { clock, failpoints, logger, pipeline } = this.#context;
    const commits = due.map(({ lane, position }): LaneCommit => {
      const { source, partition } = lane.lane;
      return {
        pipelineId: pipeline.id,
        lane: { source, partition },
        epoch: lane.epoch,
        position,
        watermarkMs: lane.watermark.valueMs,
      };
    });
    failpoints.hit('position.commit.before');
    let refused: ReadonlyMap<number, EtlError['code']>;
    try {
      const refusals = await this.#controlPlane.commitPositions(commits);
      refused = new Map(refusals.map(({ index, code }) => [index, code]));
    } catch (error) {
      logger.warn({ err: toEtlError(error) }, 'positions not committed; they are kept');
      return false;
    }
    failpoints.hit('position.commit.after');
    this.#lastCommitAtMs = clock.wallMs();
    for (const [index, { lane, position }] of due.entries()) {
      const code = refused.get(index);
      if (code === undefined) await this.#acknowledge(lane, position);
      else this.#onRefused(lane, refusal(lane, code));
    }
    return refused.size === 0;
  }

  async #acknowledge(lane: LaneRun, position: Uint8Array): Promise<void> {
    try {
      await lane.committed(position);
    } catch (error) {
      const { source, partition } = lane.lane;
      this.#context.logger.warn({ source, partition, err: toEtlError(error) }, 'not acknowledged');
    }
  }
}

function refusal(lane: LaneRun, code: EtlError['code']): EtlError {
  const { source, partition } = lane.lane;
  return new EtlError(
    code,
    `the router refused the position of lane ${source}/${partition}, epoch ${lane.epoch}`,
  );
}
