// Positions and epochs of lanes, in the database beside the data: table etl.etl_positions, one row a lane of a stage.
// Read and written inside the data's own transaction, which is what makes a write exactly-once.

import type { DuckDBConnection, DuckDBValue } from '@duckdb/node-api';
import { EtlError, type Lane, laneKey } from '@etl-router/core';

/** Name of the schema of our own tables. */
export const ownSchema = 'etl';

/** Whose lane it is. */
export interface LaneOwner {
  readonly pipeline: string;
  readonly stage: string;
  readonly lane: Lane;
}

/** What is stored of a lane. */
export interface StoredLane {
  readonly epoch: number;
  readonly position: Uint8Array | undefined;
}

/** Makes the table where it is missing. */
export async function createPositions(connection: DuckDBConnection): Promise<void> {
  await connection.run(`CREATE SCHEMA IF NOT EXISTS ${ownSchema}`);
  await connection.run(
    `CREATE TABLE IF NOT EXISTS ${ownSchema}.etl_positions (
      pipeline VARCHAR NOT NULL, stage VARCHAR NOT NULL, source VARCHAR NOT NULL, "partition" VARCHAR NOT NULL,
      epoch BIGINT NOT NULL, "position" BLOB, updated_at TIMESTAMPTZ NOT NULL)`,
  );
}

const ofLane = 'WHERE pipeline = $1 AND stage = $2 AND source = $3 AND "partition" = $4';

/** What is stored of the lane; undefined when it is new. */
export async function readLane(
  connection: DuckDBConnection,
  owner: LaneOwner,
): Promise<StoredLane | undefined> {
  const result = await connection.runAndReadAll(
    `SELECT epoch, "position" FROM ${ownSchema}.etl_positions ${ofLane}`,
    keyOf(owner),
  );
  const row = result.getRowsJS()[0];
  if (row === undefined) return undefined;
  const position = row[1] as Uint8Array | null;
  return { epoch: Number(row[0]), position: position === null ? undefined : position };
}

/**
 * Raises the epoch of the lane, which fences holders of a lower one. Throws ETL_FENCED when a higher one is stored.
 */
export async function raiseEpoch(
  connection: DuckDBConnection,
  owner: LaneOwner,
  epoch: number,
): Promise<StoredLane> {
  const stored = await readLane(connection, owner);
  if (stored === undefined) {
    await connection.run(
      `INSERT INTO ${ownSchema}.etl_positions VALUES ($1, $2, $3, $4, $5, NULL, now())`,
      [...keyOf(owner), BigInt(epoch)],
    );
    return { epoch, position: undefined };
  }
  checkEpoch(owner, stored, epoch);
  if (epoch > stored.epoch) {
    await connection.run(
      `UPDATE ${ownSchema}.etl_positions SET epoch = $5, updated_at = now() ${ofLane}`,
      [...keyOf(owner), BigInt(epoch)],
    );
  }
  return { epoch, position: stored.position };
}

/**
 * Checks that the lane is still held under `epoch` and returns its position: the write leaves out what is at or
 * before it. Throws ETL_FENCED when the lane has another holder.
 */
export async function checkLane(
  connection: DuckDBConnection,
  owner: LaneOwner,
  epoch: number,
): Promise<Uint8Array | undefined> {
  const stored = await readLane(connection, owner);
  if (stored === undefined) throw fenced(owner, epoch, 'was never opened here, or its row is gone');
  checkEpoch(owner, stored, epoch);
  if (stored.epoch < epoch) throw fenced(owner, epoch, `was opened under ${stored.epoch} only`);
  return stored.position;
}

/** Moves the lane's position to the last record of a write. */
export async function storePosition(
  connection: DuckDBConnection,
  owner: LaneOwner,
  position: Uint8Array,
): Promise<void> {
  await connection.run(
    `UPDATE ${ownSchema}.etl_positions SET "position" = from_hex($5), updated_at = now() ${ofLane}`,
    [...keyOf(owner), Buffer.from(position).toString('hex')],
  );
}

function keyOf({ pipeline, stage, lane }: LaneOwner): DuckDBValue[] {
  return [pipeline, stage, lane.source, lane.partition];
}

function checkEpoch(owner: LaneOwner, stored: StoredLane, epoch: number): void {
  if (epoch < stored.epoch) throw fenced(owner, epoch, `is held under ${stored.epoch}`);
}

function fenced({ lane, stage }: LaneOwner, epoch: number, why: string): EtlError {
  return new EtlError(
    'ETL_FENCED',
    `lane ${laneKey(lane)} of stage ${stage}: epoch ${epoch} is refused, the lane ${why}`,
    { details: { lane: laneKey(lane), epoch } },
  );
}
