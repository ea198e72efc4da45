// The two languages. etcd: KV.Put and KV.Range over messages written here field by field. Ours: SaveCheckpoint and
// GetCheckpoint, which are the same thing under another name: one key, one opaque value, the last one wins, read with
// a barrier.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { GetClusterStatusResponseSchema } from '@etl-router/proto/admin';
import {
  GetCheckpointRequestSchema,
  SaveCheckpointRequestSchema,
} from '@etl-router/proto/checkpoint';
import type { Dialect } from './cluster.ts';

const key = 1;
const value = 2;
const header = 1;
const leader = 4;
const memberId = 2;

/** etcdserverpb of etcd 3: PutRequest {key = 1, value = 2}, RangeRequest {key = 1}, linearizable unless told otherwise. */
const etcd: Dialect = {
  paths: { write: '/etcdserverpb.KV/Put', read: '/etcdserverpb.KV/Range' },
  encode(operation, name, bytes) {
    const writer = new BinaryWriter();
    writer.uint32((key << 3) | 2).string(name);
    if (operation === 'write') writer.uint32((value << 3) | 2).bytes(bytes);
    return Buffer.from(writer.finish());
  },
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
  },
  encode(operation, serviceId, data) {
    if (operation === 'read') {
      const request = create(GetCheckpointRequestSchema, { serviceId });
      return Buffer.from(toBinary(GetCheckpointRequestSchema, request));
    }
    const checkpoint = { serviceId, checkpointId: '1', data: Uint8Array.from(data) };
    const request = create(SaveCheckpointRequestSchema, { checkpoint });
    return Buffer.from(toBinary(SaveCheckpointRequestSchema, request));
  },
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
