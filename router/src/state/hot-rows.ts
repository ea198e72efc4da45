// Encoders for the kinds of rows that are written all the time: those of a commit of positions, and checkpoints. The generated encoder allocates a buffer
// a message, which made up half the time of a commit; these share one. Their bytes are those of the generated one
// (encoding.test.ts).

import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { StoredCheckpoint, StoredLane, StoredMeta } from '@etl-router/proto';

const writer = new BinaryWriter();

/** The row of the clock and the counter. */
export function encodeMeta(row: StoredMeta): Uint8Array {
  if (row.timeNs !== 0n) writer.tag(1, WireType.Varint).int64(row.timeNs);
  if (row.revision !== 0n) writer.tag(2, WireType.Varint).uint64(row.revision);
  return writer.finish();
}

/** A lane's row. */
export function encodeLane(row: StoredLane): Uint8Array {
  if (row.pipeline !== '') writer.tag(1, WireType.LengthDelimited).string(row.pipeline);
  if (row.source !== '') writer.tag(2, WireType.LengthDelimited).string(row.source);
  if (row.partition !== '') writer.tag(3, WireType.LengthDelimited).string(row.partition);
  if (row.epoch !== 0n) writer.tag(4, WireType.Varint).uint64(row.epoch);
  if (row.position.length > 0) writer.tag(5, WireType.LengthDelimited).bytes(row.position);
  if (row.committedAtNs !== 0n) writer.tag(6, WireType.Varint).int64(row.committedAtNs);
  if (row.watermark !== undefined) {
    const { seconds, nanos } = row.watermark;
    writer.tag(7, WireType.LengthDelimited).fork();
    if (seconds !== 0n) writer.tag(1, WireType.Varint).int64(seconds);
    if (nanos !== 0) writer.tag(2, WireType.Varint).int32(nanos);
    writer.join();
  }
  if (row.sidecarId !== '') writer.tag(8, WireType.LengthDelimited).string(row.sidecarId);
  return writer.finish();
}

/** A checkpoint's row. */
export function encodeCheckpoint(row: StoredCheckpoint): Uint8Array {
  if (row.serviceId !== '') writer.tag(1, WireType.LengthDelimited).string(row.serviceId);
  if (row.checkpointId !== '') writer.tag(2, WireType.LengthDelimited).string(row.checkpointId);
  if (row.data.length > 0) writer.tag(3, WireType.LengthDelimited).bytes(row.data);
  for (const { source, partition, position } of row.positions) {
    writer.tag(4, WireType.LengthDelimited).fork();
    if (source !== '') writer.tag(1, WireType.LengthDelimited).string(source);
    if (partition !== '') writer.tag(2, WireType.LengthDelimited).string(partition);
    if (position.length > 0) writer.tag(3, WireType.LengthDelimited).bytes(position);
    writer.join();
  }
  if (row.createdAtNs !== 0n) writer.tag(5, WireType.Varint).int64(row.createdAtNs);
  return writer.finish();
}
