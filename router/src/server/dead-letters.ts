// Dead letters as the router's interfaces offer them. The records stay with the sidecar that failed to deliver them;
// the router asks that sidecar, and keeps nothing.

import { EtlError, type Record } from '@etl-router/core';

/** All given fields must match. */
export interface DeadLetterFilter {
  readonly ids?: readonly string[];
  readonly stage?: string;
  readonly code?: string;
}

/** A record that could not be processed, and why. */
export interface DeadLetterView {
  /** The id every replay of the record has again. */
  readonly id: string;
  readonly pipelineId: string;
  readonly stage: string;
  readonly source: string;
  readonly partition: string;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly firstFailureMs: number;
  readonly lastFailureMs: number;
  /** It is queued to be sent again. */
  readonly redriving: boolean;
  /** The record as it came to the stage. */
  readonly record: Record;
  /** Its bytes on the wire. */
  readonly recordBytes: number;
}

/** Some dead letters, oldest first. */
export interface DeadLetterPage {
  readonly items: readonly DeadLetterView[];
  /** How many match in all. */
  readonly total: number;
  /** Give it as `after` for the next page; undefined: this was the last. */
  readonly next: number | undefined;
}

/** Who holds the dead letters of a pipeline: a sidecar, in this process or another. */
export interface DeadLetterHolder {
  list(request: {
    readonly pipelineId: string;
    readonly filter: DeadLetterFilter;
    readonly first: number;
    readonly after?: number;
  }): Promise<DeadLetterPage>;
  get(pipelineId: string, id: string): Promise<DeadLetterView | undefined>;
  count(pipelineId: string, filter: DeadLetterFilter): Promise<number>;
  /** Sends those that match again, and says how many. */
  redrive(pipelineId: string, filter: DeadLetterFilter): Promise<number>;
  /** Deletes those that match, and says how many. */
  discard(pipelineId: string, filter: DeadLetterFilter): Promise<number>;
}

/** Finds the holder of a pipeline's dead letters; undefined while it is away. */
export type DeadLetterHolders = (pipelineId: string) => DeadLetterHolder | undefined;

const pageMax = 1000;

/** The dead letters of all pipelines. */
export class DeadLetters {
  readonly #holders: DeadLetterHolders;

  constructor(holders: DeadLetterHolders) {
    this.#holders = holders;
  }

  /** Those that match, oldest first; at most 1,000 a page. */
  async list(request: {
    readonly pipelineId: string;
    readonly filter?: DeadLetterFilter;
    readonly first: number;
    readonly after?: number;
  }): Promise<DeadLetterPage> {
    const { first, filter = {}, pipelineId } = request;
    if (!Number.isInteger(first) || first < 1 || first > pageMax) {
      throw new EtlError('ETL_INVALID_ARGUMENT', `first: must be 1 to ${pageMax}`);
    }
    return this.#holder(pipelineId).list({ ...request, filter });
  }

  /** Throws ETL_NOT_FOUND when there is none of that id. */
  async get(pipelineId: string, id: string): Promise<DeadLetterView> {
    const found = await this.#holder(pipelineId).get(pipelineId, id);
    if (found !== undefined) return found;
    throw new EtlError('ETL_NOT_FOUND', `pipeline ${pipelineId} has no dead letter ${id}`);
  }

  /** How many match; 0 while the holder is away. */
  async count(pipelineId: string, filter: DeadLetterFilter = {}): Promise<number> {
    return (await this.#holders(pipelineId)?.count(pipelineId, filter)) ?? 0;
  }

  /** Sends those that match again, with the ids they had; only counts them in a dry run. */
  async redrive(pipelineId: string, filter: DeadLetterFilter, dryRun = false): Promise<number> {
    const holder = this.#holder(pipelineId);
    return dryRun ? holder.count(pipelineId, filter) : holder.redrive(pipelineId, filter);
  }

  /** Deletes those that match; only counts them in a dry run. */
  async discard(pipelineId: string, filter: DeadLetterFilter, dryRun = false): Promise<number> {
    const holder = this.#holder(pipelineId);
    return dryRun ? holder.count(pipelineId, filter) : holder.discard(pipelineId, filter);
  }

  #holder(pipelineId: string): DeadLetterHolder {
    const holder = this.#holders(pipelineId);
    if (holder !== undefined) return holder;
    throw new EtlError(
      'ETL_UNAVAILABLE',
      `the sidecar that holds the dead letters of pipeline ${pipelineId} is not connected; its dead letters are safe`,
      { details: { pipelineId } },
    );
  }
}
