// State that services keep with the router.

import { EtlError } from '@etl-router/core';
import { msOfNs } from './numbers.ts';
import type { ProposeOptions, Proposer } from './proposer.ts';
import type { StateHost } from './state-host.ts';

/** A service's own state, and the positions that belong to it. */
export interface ServiceCheckpoint {
  readonly serviceId: string;
  /** The service's own name of it. */
  readonly checkpointId: string;
  /** Opaque, at most 256 KiB. */
  readonly data: Uint8Array;
  readonly positions: readonly {
    readonly source: string;
    readonly partition: string;
    readonly position: Uint8Array;
  }[];
}

/** A checkpoint as it is kept. */
export interface KeptCheckpoint extends ServiceCheckpoint {
  readonly createdAtMs: number;
}

/** The checkpoints of the router. */
export class Checkpoints {
  readonly #host: StateHost;
  readonly #proposer: Proposer;

  constructor(parts: { readonly host: StateHost; readonly proposer: Proposer }) {
    this.#host = parts.host;
    this.#proposer = parts.proposer;
  }

  /** Keeps a checkpoint in place of the one the service kept before. */
  async save(
    checkpoint: ServiceCheckpoint,
    options: ProposeOptions = {},
  ): Promise<{ readonly createdAtMs: number }> {
    const { serviceId, checkpointId, data, positions } = checkpoint;
    const value = { serviceId, checkpointId, data, positions: positions.map((at) => ({ ...at })) };
    await this.#proposer.propose({ case: 'saveServiceCheckpoint', value }, options);
    const kept = this.get(serviceId);
    if (kept !== undefined) return { createdAtMs: kept.createdAtMs };
    throw new EtlError(
      'ETL_INTERNAL',
      `the checkpoint of ${serviceId} is not there after it was saved`,
    );
  }

  /** The last one the service kept. */
  get(serviceId: string): KeptCheckpoint | undefined {
    const row = this.#host.tables.checkpoints.get(serviceId);
    if (row === undefined) return undefined;
    const { checkpointId, data, positions, createdAtNs } = row;
    return { serviceId, checkpointId, data, positions, createdAtMs: msOfNs(createdAtNs) };
  }
}
