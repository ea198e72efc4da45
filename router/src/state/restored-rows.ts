// What a restore takes of a backup, and what becomes of each row. Objects, lanes, checkpoints and groups come back;
// who is registered, assigned or has a session is a fact of now and stays as it is. Rows are collected beside the tables
// and take their place all at once, so that what comes of a restore may be read long before it takes effect.

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
  readonly tag: string;
  readonly size: number;
  /** Begins to collect rows that are to take the place of the table's. */
  collect(): CollectedTable;
}

interface CollectedTable {
  /** Adds a row of a backup. Throws ETL_INVALID_ARGUMENT for what is none. */
  add(key: string, value: Uint8Array): void;
  /** Replaces the rows of the table by these, as of the revision of the restore. To be called once. */
  commit(revision: bigint): void;
}

interface Kind<Schema extends DescMessage> {
  readonly table: Table<Schema>;
  readonly schema: Schema;
  readonly most: number;
  readonly keyOf: (row: MessageShape<Schema>) => string;
  /** Edits a row that nobody sees yet. */
  readonly renew: (row: MessageShape<Schema>, revision: bigint) => void;
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
      renew: (row, revision) => {
        row.resourceVersion = revision;
      },
    }),
    restored({
      table: tables.lanes,
      schema: StoredLaneSchema,
      most: maxRows.lanes,
      keyOf: (row) => laneRowKey(row.pipeline, row),
      renew: (row, revision) => {
        row.epoch = revision;
        row.sidecarId = '';
      },
    }),
    restored({
      table: tables.checkpoints,
      schema: StoredCheckpointSchema,
      most: maxRows.checkpoints,
      keyOf: ({ serviceId }) => serviceId,
      renew: () => {},
    }),
    restored({
      table: tables.groups,
      schema: StoredGroupSchema,
      most: maxRows.groups,
      keyOf: ({ groupId }) => groupId,
      renew: (row, revision) => {
        row.members = [];
        row.generation = revision;
      },
    }),
    restored({
      table: tables.groupPositions,
      schema: StoredGroupPositionSchema,
      most: maxRows.groupPositions,
      keyOf: ({ groupId, position }) =>
        joinKey(groupId, position?.source ?? '', position?.partition ?? ''),
      renew: () => {},
    }),
  ];
}

/** Rows of a backup, collected for the tables that are restored. */
export class RestoredRows {
  readonly #byTag: ReadonlyMap<string, CollectedTable>;

  constructor(tables: Tables) {
    this.#byTag = new Map(restoredTables(tables).map((table) => [table.tag, table.collect()]));
  }

  /** Throws ETL_INVALID_ARGUMENT for a row that is of none of the tables, or not what its key says. */
  add([key, value]: readonly [key: Uint8Array, value: Uint8Array]): void {
    const text = Buffer.from(key.buffer, key.byteOffset, key.length).toString('utf8');
    const table = this.#byTag.get(text.charAt(0));
    if (table === undefined) throw invalid('rows', 'one is of no table that is restored');
    table.add(text.slice(1), value);
  }

  /** Replaces the rows of all the tables. To be called once. */
  commit(revision: bigint): void {
    for (const table of this.#byTag.values()) table.commit(revision);
  }
}

function restored<Schema extends DescMessage>(kind: Kind<Schema>): RestoredTable {
  const { table, schema, most } = kind;
  return {
    tag: table.tag,
    get size() {
      return table.size;
    },
    collect() {
      const rows = table.emptyRows();
      return {
        add(key, value) {
          const row = decoded(schema, value, table.name);
          if (kind.keyOf(row) !== key)
            throw invalid('rows', `a row of ${table.name} is under another key`);
          if (rows.has(key)) throw invalid('rows', `a row of ${table.name} comes twice`);
          checkRoom(table.name, rows.size, most);
          rows.set(key, row);
        },
        commit(revision) {
          for (const [, row] of rows.entries()) kind.renew(row, revision);
          table.replace(rows);
        },
      };
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
