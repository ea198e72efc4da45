// All that the state machine holds, and what a command's handler is given. One table a kind of row; the tags and the
// order of this list are the layout of the applied store and of snapshots (docs/specs/0004-state-machine.md).

import { create } from '@bufbuild/protobuf';
import {
  StoredAssignmentSchema,
  StoredCheckpointSchema,
  StoredGroupPositionSchema,
  StoredGroupSchema,
  StoredLaneSchema,
  type StoredMeta,
  StoredMetaSchema,
  StoredObjectSchema,
  StoredOperatorSchema,
  StoredRequestSchema,
  StoredRestoreChunkSchema,
  StoredRestoreSchema,
  StoredServiceSchema,
  StoredSessionSchema,
  StoredSidecarSchema,
} from '@etl-router/proto';
import { encodeCheckpoint, encodeLane, encodeMeta } from './hot-rows.ts';
import { StagedRestore } from './staged-restore.ts';
import { Journal, Table } from './table.ts';

/** Key of the one row of {@link Tables.meta}. */
export const metaKey = '';

/** Every row of the router. */
export class Tables {
  readonly journal: Journal = new Journal();
  /** The clock and the counter. */
  readonly meta: Table<typeof StoredMetaSchema> = new Table(this.journal, {
    name: 'meta',
    tag: '0',
    schema: StoredMetaSchema,
    encode: encodeMeta,
  });
  /** By kind, namespace and name. */
  readonly objects: Table<typeof StoredObjectSchema> = new Table(this.journal, {
    name: 'objects',
    tag: 'a',
    schema: StoredObjectSchema,
  });
  /** By service id. */
  readonly services: Table<typeof StoredServiceSchema> = new Table(this.journal, {
    name: 'services',
    tag: 'b',
    schema: StoredServiceSchema,
  });
  /** By sidecar id. */
  readonly sidecars: Table<typeof StoredSidecarSchema> = new Table(this.journal, {
    name: 'sidecars',
    tag: 'c',
    schema: StoredSidecarSchema,
  });
  /** By pipeline. */
  readonly assignments: Table<typeof StoredAssignmentSchema> = new Table(this.journal, {
    name: 'assignments',
    tag: 'd',
    schema: StoredAssignmentSchema,
  });
  /** By pipeline, source and partition. */
  readonly lanes: Table<typeof StoredLaneSchema> = new Table(this.journal, {
    name: 'lanes',
    tag: 'e',
    schema: StoredLaneSchema,
    encode: encodeLane,
    groupParts: 1,
  });
  /** By service id. */
  readonly checkpoints: Table<typeof StoredCheckpointSchema> = new Table(this.journal, {
    name: 'checkpoints',
    tag: 'f',
    schema: StoredCheckpointSchema,
    encode: encodeCheckpoint,
  });
  /** By group id. */
  readonly groups: Table<typeof StoredGroupSchema> = new Table(this.journal, {
    name: 'groups',
    tag: 'g',
    schema: StoredGroupSchema,
  });
  /** By group, source and partition. */
  readonly groupPositions: Table<typeof StoredGroupPositionSchema> = new Table(this.journal, {
    name: 'groupPositions',
    tag: 'h',
    schema: StoredGroupPositionSchema,
    groupParts: 1,
  });
  /** By session id. */
  readonly sessions: Table<typeof StoredSessionSchema> = new Table(this.journal, {
    name: 'sessions',
    tag: 'i',
    schema: StoredSessionSchema,
  });
  /** By session and request id. */
  readonly requests: Table<typeof StoredRequestSchema> = new Table(this.journal, {
    name: 'requests',
    tag: 'j',
    schema: StoredRequestSchema,
    groupParts: 1,
  });
  /** The one under way, and the last. */
  readonly restores: Table<typeof StoredRestoreSchema> = new Table(this.journal, {
    name: 'restores',
    tag: 'k',
    schema: StoredRestoreSchema,
  });
  /** By number. */
  readonly restoreChunks: Table<typeof StoredRestoreChunkSchema> = new Table(this.journal, {
    name: 'restoreChunks',
    tag: 'l',
    schema: StoredRestoreChunkSchema,
  });
  /** The operator's epoch. */
  readonly operators: Table<typeof StoredOperatorSchema> = new Table(this.journal, {
    name: 'operators',
    tag: 'm',
    schema: StoredOperatorSchema,
  });

  /** Every table, in the order of their tags. */
  readonly all: readonly AnyTable[] = [
    this.meta,
    this.objects,
    this.services,
    this.sidecars,
    this.assignments,
    this.lanes,
    this.checkpoints,
    this.groups,
    this.groupPositions,
    this.sessions,
    this.requests,
    this.restores,
    this.restoreChunks,
    this.operators,
  ];
  /** What of the chunks was read; no part of the state. */
  readonly staged: StagedRestore = new StagedRestore(this);

  /** The clock and the counter; both 0 before the first command. */
  clock(): StoredMeta {
    return this.meta.get(metaKey) ?? create(StoredMetaSchema);
  }
}

/** What all tables have in common, whatever their rows. */
export interface AnyTable {
  readonly name: string;
  readonly tag: string;
  readonly size: number;
  keys(): readonly string[];
  load(key: string, value: Uint8Array): void;
  keyBytes(key: string): Uint8Array;
  valueBytes(key: string): Uint8Array | undefined;
}

/**
 * What a command says to those who keep the rows: take the digest of all of them as of this entry, or what some member's
 * was. It changes no row.
 */
export type Note =
  | { readonly kind: 'take' }
  | {
      readonly kind: 'report';
      readonly index: bigint;
      readonly raftId: bigint;
      readonly sha256: Uint8Array;
    };

/** What a handler may use: the rows, and the stamps of the present command. Nothing else exists for it. */
export class Context {
  readonly tables: Tables;
  /** Time of the command; later than that of every command before it. */
  readonly nowNs: bigint;
  /** Minted by the proposer, for what the command creates. */
  readonly uid: string;
  /** What the command says to others than the state. */
  note: Note | undefined;
  #revision: bigint;
  #revised = false;

  constructor(tables: Tables, proposal: { readonly proposedAtNs: bigint; readonly uid: string }) {
    const clock = tables.clock();
    const next = clock.timeNs + 1n;
    this.tables = tables;
    this.nowNs = proposal.proposedAtNs > next ? proposal.proposedAtNs : next;
    this.uid = proposal.uid;
    this.#revision = clock.revision;
  }

  /** The revision that the command makes; one and the same however often a handler asks. */
  revise(): bigint {
    if (!this.#revised) this.#revision += 1n;
    this.#revised = true;
    return this.#revision;
  }

  /** Like {@link Context.revise}, and leaves everything behind that was given out here or until `revision` elsewhere. */
  leap(revision: bigint, by: bigint): bigint {
    if (revision > this.#revision) this.#revision = revision;
    this.#revision += by;
    this.#revised = true;
    return this.#revision;
  }

  /** The revision after the command as far as it was handled. */
  get revision(): bigint {
    return this.#revision;
  }
}
