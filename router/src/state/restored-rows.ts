// What a restore takes of a backup, and what becomes of each row. Objects, lanes, checkpoints and groups come back;
// who is registered, assigned or has a session is a fact of now and stays as it is.

import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf';
import {
  StoredCheckpointSchema,
  StoredGroupPositionSchema,
  StoredGroupSchema,
  StoredLaneSchema,
  StoredObjectSchema,
} from '@etl-router/proto';
import { laneRowKey, objectKey } from './keys.ts';
import { maxRows, storedKinds } from './limits.ts';
import { invalid } from './names.ts';
import { checkRoom } from './refusal.ts';
import { joinKey, type Table } from './table.ts';
import type { Tables } from './tables.ts';

/** A table that a restore replaces. */
interface RestoredTable {
  readonly name: string;
  readonly tag: string;
  readonly size: number;
  clear(): void;
  /** Puts a row of the backup, as of the revision of the restore. Throws ETL_INVALID_ARGUMENT for what is none. */
  put(key: string, value: Uint8Array, revision: bigint): void;
}

interface Kind<Schema extends DescMessage> {
  readonly table: Table<Schema>;
  readonly schema: Schema;
  readonly most: number;
  readonly keyOf: (row: MessageShape<Schema>) => string;
  readonly renew: (row: MessageShape<Schema>, revision: bigint) => MessageShape<Schema>;
}

/** The tables that a restore replaces. Nothing of what they held before is left, and what others know of it is old. */
export function restoredTables(tables: Tables): readonly RestoredTable[] {
  return [
    restored({
      table: tables.objects,
      schema: StoredObjectSchema,
      most: maxRows.objects,
      keyOf: ({ kind, namespace, name }) => {
        if (!storedKinds.includes(kind))
          throw invalid('rows', `objects of kind ${kind} are not known`);
        return objectKey(kind, namespace, name);
      },
      renew: (row, revision) => ({ ...row, resourceVersion: revision }),
    }),
    restored({
      table: tables.lanes,
      schema: StoredLaneSchema,
      most: maxRows.lanes,
      keyOf: (row) => laneRowKey(row.pipeline, row),
      renew: (row, revision) => ({ ...row, epoch: revision, sidecarId: '' }),
    }),
    restored({
      table: tables.checkpoints,
      schema: StoredCheckpointSchema,
      most: maxRows.checkpoints,
      keyOf: ({ serviceId }) => serviceId,
      renew: (row) => row,
    }),
    restored({
      table: tables.groups,
      schema: StoredGroupSchema,
      most: maxRows.groups,
      keyOf: ({ groupId }) => groupId,
      renew: (row, revision) => ({ ...row, members: [], generation: revision }),
    }),
    restored({
      table: tables.groupPositions,
      schema: StoredGroupPositionSchema,
      most: maxRows.groupPositions,
      keyOf: ({ groupId, position }) =>
        joinKey(groupId, position?.source ?? '', position?.partition ?? ''),
      renew: (row) => row,
    }),
  ];
}

/** Puts one row. Throws ETL_INVALID_ARGUMENT where it is of none of the tables, or not what its key says. */
export function putRestored(
  byTag: ReadonlyMap<string, RestoredTable>,
  [key, value]: readonly [key: Uint8Array, value: Uint8Array],
  revision: bigint,
): void {
  const text = Buffer.from(key.buffer, key.byteOffset, key.length).toString('utf8');
  const table = byTag.get(text.charAt(0));
  if (table === undefined) throw invalid('rows', 'one is of no table that is restored');
  table.put(text.slice(1), value, revision);
}

function restored<Schema extends DescMessage>(kind: Kind<Schema>): RestoredTable {
  const { table, schema, most } = kind;
  return {
    name: table.name,
    tag: table.tag,
    get size() {
      return table.size;
    },
    clear() {
      for (const key of table.keys()) table.delete(key);
    },
    put(key, value, revision) {
      const row = decoded(schema, value, table.name);
      if (kind.keyOf(row) !== key)
        throw invalid('rows', `a row of ${table.name} is under another key`);
      if (table.get(key) !== undefined) throw invalid('rows', `a row of ${table.name} comes twice`);
      checkRoom(table.name, table.size, most);
      table.put(key, kind.renew(row, revision));
    },
  };
}

function decoded<Schema extends DescMessage>(
  schema: Schema,
  value: Uint8Array,
  name: string,
): MessageShape<Schema> {
  try {
    return fromBinary(schema, value);
  } catch {
    throw invalid('rows', `a row of ${name} can not be decoded`);
  }
}
