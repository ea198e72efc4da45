// State that a service keeps with the router: opaque bytes and the positions they belong to, one checkpoint a
// service, the last one wins.

import { create } from '@bufbuild/protobuf';
import {
  type SaveServiceCheckpoint,
  type SourcePosition,
  StoredCheckpointSchema,
} from '@etl-router/proto';
import { maxCheckpointBytes, maxCheckpointPositions, maxRows } from './limits.ts';
import {
  checkBytes,
  checkCount,
  checkId,
  checkPartition,
  checkPosition,
  invalid,
} from './names.ts';
import { checkRoom, done, type Outcome } from './refusal.ts';
import { joinKey } from './table.ts';
import type { Context } from './tables.ts';

export function saveServiceCheckpoint(context: Context, command: SaveServiceCheckpoint): Outcome {
  const { checkpoints } = context.tables;
  checkId('service_id', command.serviceId);
  checkId('checkpoint_id', command.checkpointId);
  checkBytes('data', command.data.length, maxCheckpointBytes);
  checkCount('positions', command.positions.length, maxCheckpointPositions);
  checkSourcePositions(command.positions);
  if (checkpoints.get(command.serviceId) === undefined) {
    checkRoom('service checkpoints', checkpoints.size, maxRows.checkpoints);
  }
  context.revise();
  checkpoints.put(
    command.serviceId,
    create(StoredCheckpointSchema, {
      serviceId: command.serviceId,
      checkpointId: command.checkpointId,
      data: command.data,
      positions: command.positions.toSorted(bySourceAndPartition),
      createdAtNs: context.nowNs,
    }),
  );
  return done;
}

/** Throws unless all are legal positions and none is given twice. */
export function checkSourcePositions(positions: readonly SourcePosition[]): void {
  const seen = new Set<string>();
  for (const { source, partition, position } of positions) {
    checkId('source', source);
    checkPartition('partition', partition);
    checkPosition('position', position);
    const key = joinKey(source, partition);
    if (seen.has(key)) throw invalid('positions', `${source}/${partition} occurs twice`);
    seen.add(key);
  }
}

function bySourceAndPartition(a: SourcePosition, b: SourcePosition): number {
  const left = joinKey(a.source, a.partition);
  const right = joinKey(b.source, b.partition);
  return left < right ? -1 : left > right ? 1 : 0;
}
