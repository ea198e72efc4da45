// What clients may do in a history, and what they may be told. The shapes are those of
// docs/specs/0008-linearizability.md; what an operation means is said by the models.

/** Told that nothing was done, for a reason the model does not know: no leader, no room, a request that is wrong. */
export interface Refused {
  readonly error: 'refused';
}

type Out<Done extends object, Failed extends object = never> =
  | (Done & { readonly error?: never })
  | Failed
  | Refused;

interface Missing {
  readonly error: 'notFound';
}

/** The version that was found: 0 where there is no object. */
interface VersionConflict {
  readonly error: 'conflict';
  readonly version: number;
}

interface LaneRefusal {
  /** A lower epoch than the lane's; a position before the lane's; a higher epoch than the lane's. */
  readonly error: 'fenced' | 'conflict' | 'invalid';
  readonly epoch: number;
  readonly position: string;
}

interface Written {
  readonly version: number;
  /** False when an equal object was there and was left alone. */
  readonly changed?: boolean;
}

interface Seen {
  readonly version: number;
  readonly spec: string;
}

interface LaneState {
  readonly epoch: number;
  /** In hex; empty at the beginning. */
  readonly position: string;
}

/** Every operation: what it was given, and what may be answered. */
export interface Operations {
  /** Objects, by `kind/namespace/name`. */
  readonly create: {
    readonly in: { readonly name: string; readonly spec: string };
    readonly out: Out<Written, VersionConflict>;
  };
  /** Creates the object where no version is given and there is none. */
  readonly update: {
    readonly in: { readonly name: string; readonly spec: string; readonly ifVersion?: number };
    readonly out: Out<Written, VersionConflict>;
  };
  readonly delete: {
    readonly in: { readonly name: string; readonly ifVersion?: number };
    readonly out: Out<object, VersionConflict | Missing>;
  };
  readonly get: {
    readonly in: { readonly name: string };
    readonly out: Out<Seen, Missing>;
  };
  /** A read that may be old; `revision` is that of the state it was read from, where it is known. */
  readonly getStale: {
    readonly in: { readonly name: string };
    readonly out: Out<
      Seen & { readonly revision?: number },
      Missing & { readonly revision?: number }
    >;
  };
  /** Lanes, by `pipeline/source/partition`. */
  readonly acquireEpoch: {
    readonly in: { readonly lane: string };
    readonly out: Out<LaneState>;
  };
  readonly commitPosition: {
    readonly in: { readonly lane: string; readonly epoch: number; readonly position: string };
    readonly out: Out<object, LaneRefusal | Missing>;
  };
  readonly getLane: {
    readonly in: { readonly lane: string };
    readonly out: Out<LaneState, Missing>;
  };
  /** What a group has read of a partition, by `group/source/partition`. */
  readonly commitGroupPosition: {
    readonly in: {
      readonly partition: string;
      readonly generation: number;
      readonly position: string;
    };
    readonly out: Out<
      object,
      | { readonly error: 'conflict'; readonly position: string }
      | { readonly error: 'fenced'; readonly generation?: number }
    >;
  };
  readonly getGroupPosition: {
    readonly in: { readonly partition: string };
    readonly out: Out<{ readonly position: string }, Missing>;
  };
  /** Registers of the simulator; 0 is one that nobody wrote. */
  readonly writeRegister: {
    readonly in: { readonly register: number; readonly value: number };
    readonly out: Out<object>;
  };
  /** Writes where `expected` is found; tells what is there afterwards. */
  readonly swapRegister: {
    readonly in: { readonly register: number; readonly expected: number; readonly value: number };
    readonly out: Out<{ readonly done: boolean; readonly value: number }>;
  };
  readonly readRegister: {
    readonly in: { readonly register: number };
    readonly out: Out<{ readonly value: number }>;
  };
}

export type OperationName = keyof Operations;

/** One line of a history. */
export type Operation = { readonly [Name in OperationName]: OperationOf<Name> }[OperationName];

export interface OperationOf<Name extends OperationName> {
  readonly client: number;
  /** Its own within the history. */
  readonly id: number;
  /** Nanoseconds since any moment that all clients share. */
  readonly callNs: number;
  /** Null, as is `out`: not known whether it was done. It may have taken effect at any later time, or never. */
  readonly returnNs: number | null;
  readonly op: Name;
  readonly in: Operations[Name]['in'];
  readonly out: Operations[Name]['out'] | null;
}

/** What the operation is about. Histories are checked for each of these alone. */
export function keyOf(operation: Operation): string {
  switch (operation.op) {
    case 'create':
    case 'update':
    case 'delete':
    case 'get':
    case 'getStale':
      return `object ${operation.in.name}`;
    case 'acquireEpoch':
    case 'commitPosition':
    case 'getLane':
      return `lane ${operation.in.lane}`;
    case 'commitGroupPosition':
    case 'getGroupPosition':
      return `group position ${operation.in.partition}`;
    case 'writeRegister':
    case 'swapRegister':
    case 'readRegister':
      return `register ${operation.in.register}`;
  }
}

/** Operations are sorted by key before they come to a model. */
export function wrongKey({ op, id }: Operation): never {
  throw new Error(`operation ${id}, ${op}, came to the model of another key`);
}

/** Whether it was told what only one that changed nothing is told: a read, or one that failed. */
export function isPassive({ op, out }: Operation): boolean {
  if (out === null) return false;
  if (out.error !== undefined || ('done' in out && !out.done)) return true;
  return op === 'get' || op === 'getLane' || op === 'getGroupPosition' || op === 'readRegister';
}
