// The two languages. etcd: KV.Put, KV.Range and for batches KV.Txn, over messages written here field by field. Ours:
// SaveCheckpoint and GetCheckpoint, which are the same thing under another name: one key, one opaque value, the last one
// wins, read with a barrier; and for batches CommitPositions, where each lane is judged by its epoch and position.

import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { GetClusterStatusResponseSchema } from '@etl-router/proto/admin';
import {
  CommitPositionsRequestSchema,
  GetCheckpointRequestSchema,
  SaveCheckpointRequestSchema,
} from '@etl-router/proto/checkpoint';
import { encodeMessage } from '@etl-router/proto/grpc';
import type { Dialect } from './cluster.ts';
import { laneNames } from './lanes.ts';

const lengthDelimited = 2;
const key = 1;
const value = 2;
/** Of CommitPositionsResponse. */
const refused = 1;
const header = 1;
const leader = 4;
const memberId = 2;

/** etcdserverpb of etcd 3: PutRequest {key = 1, value = 2}, RangeRequest {key = 1}, linearizable unless told otherwise. */
const etcd: Dialect = {
  paths: {
    write: '/etcdserverpb.KV/Put',
    read: '/etcdserverpb.KV/Range',
    batch: '/etcdserverpb.KV/Txn',
  },
  encode(operation, { keys, value: bytes }) {
    const writer = new BinaryWriter();
    for (const name of keys) {
      // TxnRequest {success = 2}, RequestOp {request_put = 2}.
      if (operation === 'batch')
        writer.tag(2, lengthDelimited).fork().tag(2, lengthDelimited).fork();
      writer.tag(key, lengthDelimited).string(name);
      if (operation !== 'read') writer.tag(value, lengthDelimited).bytes(bytes);
      if (operation === 'batch') writer.join().join();
    }
    return Buffer.from(writer.finish());
  },
  isDone: () => true,
  status: {
    path: '/etcdserverpb.Maintenance/Status',
    // StatusResponse {header = 1, leader = 4}, ResponseHeader {member_id = 2}.
    leads(answer) {
      const fields = scan(answer);
      const self = scan(fields.get(header) as Uint8Array).get(memberId);
      return self !== undefined && self === fields.get(leader);
    },
  },
};

const router: Dialect = {
  paths: {
    write: '/etl.checkpoint.v1.CheckpointService/SaveCheckpoint',
    read: '/etl.checkpoint.v1.CheckpointService/GetCheckpoint',
    batch: '/etl.checkpoint.v1.CheckpointService/CommitPositions',
  },
  encode(operation, { keys, value: bytes, epoch }) {
    const [serviceId = ''] = keys;
    const data = Uint8Array.from(bytes);
    switch (operation) {
      case 'read':
        return encodeMessage(GetCheckpointRequestSchema, { serviceId });
      case 'write':
        return encodeMessage(SaveCheckpointRequestSchema, {
          checkpoint: { serviceId, checkpointId: '1', data },
        });
      case 'batch': {
        const items = keys.map((partition) => ({
          ...{ lane: { ...laneNames, partition }, epoch, position: data },
        }));
        return encodeMessage(CommitPositionsRequestSchema, { items });
      }
    }
  },
  isDone: (operation, answer) => operation !== 'batch' || !scan(answer).has(refused),
  status: {
    path: '/etl.router.v1.RouterAdmin/GetClusterStatus',
    leads(answer) {
      const { name, leader } = fromBinary(GetClusterStatusResponseSchema, answer);
      return name === leader;
    },
  },
};

export const dialects: { readonly etcd: Dialect; readonly router: Dialect } = { etcd, router };

/** The last value of each varint and length-delimited field, by number. */
function scan(bytes: Uint8Array): Map<number, bigint | Uint8Array> {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, bigint | Uint8Array>();
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === 0) fields.set(number, BigInt(reader.uint64()));
    else if (type === 2) fields.set(number, reader.bytes());
    else reader.skip(type);
  }
  return fields;
}
