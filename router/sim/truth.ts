// What is true of the cluster as a whole, whoever of its members says so: who led which term, which entry was written
// under which index and term, what is committed, and what the state machine makes of it. Members are compared with it
// after every event; invariants carry the names of docs/specs/0007-raft.md and of Raft's papers.

import { fromBinary } from '@bufbuild/protobuf';
import { type CommandResult, ProposalSchema } from '@etl-router/proto';
import { StateHost } from '../src/server/state-host.ts';
import { decodeResult } from '../src/state/proposal.ts';
import type { Touched } from '../src/state/table.ts';
import type { Tables } from '../src/state/tables.ts';
import type { Entry, HardState, LogReader } from '../src/storage/log-types.ts';
import { StateHash } from './state-hash.ts';
import { hashOf } from './trace.ts';
import { check } from './violation.ts';

/** Tables whose rows clients read. */
export type ReadTable = 'objects' | 'services' | 'assignments' | 'lanes' | 'groupPositions';
type RowOf<Name extends ReadTable> = ReturnType<Tables[Name]['get']>;

/** A request that took effect. */
export interface Effect {
  readonly index: number;
  readonly answer: CommandResult;
  readonly hash: number;
}

/** A committed entry. */
interface Committed {
  readonly term: number;
  readonly hash: number;
  /** Lowest term of a member that knew it to be committed. */
  readonly inTerm: number;
  readonly type: Entry['type'];
  /** Of all rows, once it is applied. */
  readonly stateHash: number;
  /** What the state machine answers. */
  readonly answerHash: number;
}

const entryHashes = new WeakMap<Entry, number>();

export function hashOfEntry(entry: Entry): number {
  const known = entryHashes.get(entry);
  if (known !== undefined) return known;
  // What follows in a heavy command is padding, and the log has checksums of its own.
  const { data, term, type } = entry;
  const hash = hashOf(data.subarray(0, 256), term * 2 + (type === 'normal' ? 0 : 1) + data.length);
  entryHashes.set(entry, hash);
  return hash;
}

export class Truth {
  /** By index; nothing at 0. */
  readonly #committed: (Committed | undefined)[] = [undefined];
  readonly #leaders = new Map<number, number>();
  /** Terms that a member asked votes for; the first begins with the cluster. */
  readonly #campaigns = new Set<number>([1]);
  /** Hash of each entry ever written, with the term of the one before it, by index and term. */
  readonly #written = new Map<string, string>();
  /** Whom each member voted for, by member and term. */
  readonly #votes = new Map<string, number>();
  readonly #model = new StateHost();
  readonly #hash = new StateHash();
  /** Where each request took effect, by session and id. */
  readonly #effects = new Map<string, Effect>();
  /** A row with the index from which it holds, by table and key. */
  readonly #history = new Map<string, { readonly from: number; readonly row: unknown }[]>();

  /** The highest index whose effects any client was told of. */
  told = 0;
  /** Requests that came once more. */
  repeats = 0;

  get lastCommitted(): number {
    return this.#committed.length - 1;
  }

  /** ElectionSafetyInv, LeaderCompletenessInv. */
  leads(id: number, term: number, log: LogReader): boolean {
    const known = this.#leaders.get(term);
    check(
      'ElectionSafety',
      known === undefined || known === id,
      () => `members ${known} and ${id} lead term ${term}`,
    );
    if (known !== undefined) return false;
    this.#leaders.set(term, id);
    for (let index = this.lastCommitted; index >= log.firstIndex; index--) {
      const committed = this.#committed[index] as Committed;
      if (committed.inTerm >= term) continue;
      check(
        'LeaderCompleteness',
        log.term(index) === committed.term,
        () =>
          `member ${id} leads term ${term} and lacks entry ${index} of term ${committed.term}, committed in term ${committed.inTerm}`,
      );
    }
    return true;
  }

  /** A term begins with a member that votes for itself; nobody else raises one. */
  begins(id: number, { term, vote }: HardState, before: number): void {
    if (vote === id) this.#campaigns.add(term);
    check(
      'Monotonic',
      term === before || this.#campaigns.has(term),
      () => `member ${id} goes to term ${term}, for which nobody asked`,
    );
  }

  /** LogMatchingInv: index and term name one entry, and what is before it. */
  wrote(id: number, entry: Entry, previousTerm: number | undefined): void {
    const { index, term } = entry;
    const name = `${index} ${term}`;
    const what = `${hashOfEntry(entry)} after ${previousTerm}`;
    const known = this.#written.get(name);
    if (known === undefined) this.#written.set(name, what);
    check(
      'LogMatching',
      known === undefined || known === what,
      () => `entry ${index} of term ${term} of member ${id} is ${what}, elsewhere it is ${known}`,
    );
  }

  /** One vote a term over the whole life of a member. */
  voted(id: number, term: number, vote: number): void {
    if (vote === 0) return;
    const known = this.#votes.get(`${id} ${term}`) ?? vote;
    check(
      'OneVote',
      known === vote,
      () => `member ${id} votes for ${known} and for ${vote} in term ${term}`,
    );
    this.#votes.set(`${id} ${term}`, vote);
  }

  /** Whether it gave that vote. */
  hasVoted(id: number, term: number, vote: number): boolean {
    return id === vote || this.#votes.get(`${id} ${term}`) === vote;
  }

  /** LogInv: whoever knows an entry to be committed has the same one there, for ever. True: nobody knew before. */
  committed(id: number, entry: Entry, inTerm: number): boolean {
    const { index, term } = entry;
    const known = this.#committed[index];
    const hash = hashOfEntry(entry);
    if (known !== undefined) {
      check(
        'StateMachineSafety',
        known.hash === hash && known.term === term,
        () =>
          `entry ${index} is committed as one of term ${known.term}, and on member ${id} as one of term ${term}`,
      );
      return false;
    }
    check(
      'StateMachineSafety',
      index === this.#committed.length,
      () => `member ${id} commits entry ${index} after ${this.lastCommitted}`,
    );
    const answerHash = this.#apply(entry);
    const stateHash = this.#hash.value;
    this.#committed.push({ term, hash, inTerm, type: entry.type, stateHash, answerHash });
    return true;
  }

  /** State machine safety: the answer to an entry is the same everywhere. */
  answered(id: number, index: number, answer: Uint8Array): void {
    const known = this.#committed[index];
    check(
      'StateMachineSafety',
      known !== undefined,
      () => `member ${id} applied entry ${index}, which is not committed`,
    );
    check(
      'StateMachineSafety',
      answer.length === 0 || hashOf(answer) === known.answerHash,
      () => `member ${id} answers entry ${index} otherwise than the entries up to it say`,
    );
  }

  /** State machine safety: the same state after the same entries. */
  applied(
    id: number,
    position: { readonly index: number; readonly term: number },
    hash: number,
  ): void {
    if (position.index === 0) return;
    const known = this.#committed[position.index];
    check(
      'StateMachineSafety',
      known !== undefined && known.term === position.term,
      () => `member ${id} has the state of entry ${position.index}, which is not committed`,
    );
    check(
      'StateMachineSafety',
      known.stateHash === hash,
      () => `the state of member ${id} after entry ${position.index} is not that of the log`,
    );
  }

  /** The state's number after an entry; undefined where none was committed yet. */
  stateHashAt(index: number): number | undefined {
    return index === 0 ? 0 : this.#committed[index]?.stateHash;
  }

  /** What became of a request; undefined: nothing yet. */
  effectOf(sessionId: string, requestId: string): Effect | undefined {
    return this.#effects.get(`${sessionId} ${requestId}`);
  }

  /** A row after the entries up to `index`. */
  rowAt<Name extends ReadTable>(table: Name, key: string, index: number): RowOf<Name> {
    const history = this.#history.get(`${table} ${key}`);
    return history?.findLast(({ from }) => from <= index)?.row as RowOf<Name>;
  }

  /** How many changes of members may be under way: never two (I13). */
  uncommittedChanges(log: LogReader): number {
    let count = 0;
    const low = Math.max(log.firstIndex, this.lastCommitted + 1);
    if (low > log.lastIndex) return 0;
    for (const { type } of log.entries(low, log.lastIndex + 1, Number.MAX_SAFE_INTEGER))
      if (type === 'configuration') count++;
    return count;
  }

  #apply({ index, type, data }: Entry): number {
    if (type === 'configuration' || data.length === 0) return 0;
    const { result, touched } = this.#model.apply(data);
    const { tables } = this.#model;
    this.#hash.update(touched, tables);
    for (const { table, keys } of touched) {
      for (const key of keys) {
        const name = `${table} ${key}`;
        const history = this.#history.get(name) ?? [];
        history.push({ from: index, row: tables[table as ReadTable].get(key) });
        this.#history.set(name, history);
      }
    }
    const hash = hashOf(result);
    this.#noteRequest(index, data, { result, hash, touched });
    return hash;
  }

  /** I16: a request has one effect, and one answer however often it comes. */
  #noteRequest(
    index: number,
    data: Uint8Array,
    done: {
      readonly result: Uint8Array;
      readonly hash: number;
      readonly touched: readonly Touched[];
    },
  ): void {
    const { sessionId, requestId } = fromBinary(ProposalSchema, data);
    if (sessionId === '') return;
    const name = `${sessionId} ${requestId}`;
    const effect = this.#effects.get(name);
    const answer = decodeResult(done.result);
    // Where the session is gone nothing is done, and nothing is remembered.
    if (isWithoutSession(answer)) return;
    if (effect === undefined) {
      this.#effects.set(name, { index, answer, hash: done.hash });
      return;
    }
    this.repeats++;
    check(
      'Requests',
      done.touched.length === 0,
      () => `request ${name} takes effect with entry ${effect.index} and with ${index} again`,
    );
    check(
      'Requests',
      done.hash === effect.hash,
      () => `request ${name} has one answer with entry ${effect.index} and another with ${index}`,
    );
  }
}

function isWithoutSession({ outcome }: CommandResult): boolean {
  if (outcome.case !== 'refusal') return false;
  return outcome.value.details.some(({ name, value }) => name === 'what' && value === 'session');
}
