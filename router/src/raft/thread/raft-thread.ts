// A member whose log, core and network are in a thread of their own, as the main thread sees it. What blocks the main
// thread, such as a large answer or a long collection of garbage, never delays a heartbeat there. Status and members are
// copies, never older than an answer that was given.

import { assert, type Clock, EtlError } from '@etl-router/core';
import { closedError } from '../../consensus/aborted.ts';
import type {
  CommittedEntry,
  Consensus,
  ConsensusStatus,
  ProposalOptions,
  Proposed,
  ReplicatedState,
} from '../../consensus/consensus.ts';
import { withOutcome } from '../../consensus/outcome.ts';
import type { SyncEvent } from '../../storage/log.ts';
import type { LogPosition } from '../../storage/log-types.ts';
import type { Founder } from '../bootstrap.ts';
import { type Membership, type MembershipChange, noMembership } from '../membership.ts';
import { checkCommand } from '../node-checks.ts';
import type { MemberProgress } from '../raft.ts';
import type { ApiAddresses } from '../transport.ts';
import { Line, type Port } from './line.ts';
import { type Packed, pack, unpack } from './packed.ts';
import { ProposalBook } from './proposal-book.ts';
import type {
  CommittedBatch,
  LogCalls,
  LogWords,
  LoopDelay,
  MainCalls,
  MainWords,
  OpenedLog,
  ViewChange,
} from './protocol.ts';
import { ReadBook } from './read-book.ts';
import { fromWireError } from './wire-error.ts';

/** What the log's thread asks of the data directory, whose lock the main thread holds. */
export interface ThreadDirectory {
  adopt(clusterId: string, founding: readonly Founder[]): Promise<void>;
  markLogCreated(): Promise<void>;
}

export interface RaftThreadOptions {
  readonly port: Port;
  /** Resolves with why, should the other side end by itself. */
  readonly died: Promise<EtlError>;
  /** Ends the other side once it has closed everything. */
  readonly terminate: () => Promise<void>;
  readonly clusterId: string;
  readonly nodeId: number;
  readonly directory: ThreadDirectory;
  readonly clock: Clock;
  readonly onSync: (event: SyncEvent) => void;
  readonly onDelay: (delay: LoopDelay) => void;
  readonly onLogLine: (line: string) => void;
}

/** What the replica reads of the log: all of it as of the opening, but the snapshot, which is the latest. */
export class LogFacts {
  readonly compacted: LogPosition;
  readonly lastIndex: number;
  readonly tornBytes: number;
  snapshot: LogPosition;
  readonly #asked: LogPosition | undefined;

  constructor(opened: OpenedLog, askedIndex: number) {
    const { compacted, lastIndex, tornBytes, snapshot, term } = opened;
    this.compacted = compacted;
    this.lastIndex = lastIndex;
    this.tornBytes = tornBytes;
    this.snapshot = snapshot;
    this.#asked = term === undefined ? undefined : { index: askedIndex, term };
  }

  /** The term of the entry that was asked for. */
  term(index: number): number | undefined {
    return index === this.#asked?.index ? this.#asked.term : undefined;
  }
}

const noResult: Uint8Array = new Uint8Array(0);

export class RaftThread implements Consensus {
  readonly failed: Promise<EtlError>;
  readonly #options: RaftThreadOptions;
  readonly #line: Line<LogCalls, LogWords>;
  readonly #proposals: ProposalBook;
  readonly #reads: ReadBook;
  readonly #failWith: (error: EtlError) => void;
  readonly #listeners = new Set<(leads: boolean) => void>();
  #status: Omit<ConsensusStatus, 'failure'>;
  #membership: Membership = noMembership;
  #progress: readonly MemberProgress[] = [];
  #leads = false;
  #log: LogFacts | undefined;
  #state: ReplicatedState | undefined;
  #isServing = false;
  #failure: EtlError | undefined;
  #hasDied = false;
  #closing: Promise<void> | undefined;

  constructor(options: RaftThreadOptions) {
    const failed = Promise.withResolvers<EtlError>();
    this.failed = failed.promise;
    this.#failWith = failed.resolve;
    this.#options = options;
    this.#status = unopened(options);
    const serves: MainCalls = {
      apply: (batch) => this.#apply(batch),
      snapshot: ({ named }) => this.#snapshot(named),
      install: (position) => this.#install(position),
      membershipAt: (position) => this.#replica.membershipAt(position),
      adopt: ({ clusterId, founding }) => options.directory.adopt(clusterId, founding),
      markLogCreated: () => options.directory.markLogCreated(),
    };
    const hears: MainWords = {
      view: (change) => this.#see(change),
      answered: ({ id, answer }) => this.#proposals.answer(id, answer),
      refused: ({ id, error }) => this.#proposals.refuse(id, fromWireError(error)),
      synced: options.onSync,
      delayed: options.onDelay,
      logged: options.onLogLine,
    };
    this.#line = new Line({ port: options.port, serves, hears });
    this.#proposals = new ProposalBook(this.#line);
    this.#reads = new ReadBook({
      clock: options.clock,
      ask: () => this.#line.call('readIndex', null),
    });
    void options.died.then((error) => this.#die(error));
  }

  /** Finds the cluster and opens the log; tells of the entry that the state ends with. To be called once. */
  async open(appliedIndex: number, signal: AbortSignal): Promise<LogFacts> {
    signal.throwIfAborted();
    try {
      const opened = await this.#line.call('open', { appliedIndex }, { signal });
      const { clusterId, lastIndex } = opened;
      this.#status = { ...this.#status, clusterId, lastIndex };
      this.#log = new LogFacts(opened, appliedIndex);
      return this.#log;
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }

  async start(state: ReplicatedState): Promise<void> {
    assert(this.#state === undefined && this.#log !== undefined, 'open, then start, each once');
    this.#state = state;
    const { applied, membership } = state;
    // It serves as soon as it has begun to read what is committed, as a member in this thread would.
    this.#isServing = true;
    await this.#line.call('start', { applied, membership });
  }

  async propose(command: Uint8Array, options: ProposalOptions = {}): Promise<Proposed> {
    let answer: Promise<Proposed>;
    try {
      this.#checkServes(options.signal);
      checkCommand(command);
      answer = this.#proposals.add(command, options);
    } catch (error) {
      throw withOutcome(error, 'refused');
    }
    return await answer;
  }

  async readIndex({ signal }: ProposalOptions = {}): Promise<number> {
    this.#checkServes(signal);
    return await this.#reads.wait(signal);
  }

  async changeMembers(
    change: MembershipChange,
    { signal }: ProposalOptions = {},
  ): Promise<Membership> {
    this.#checkServes(signal);
    return await this.#line.call('changeMembers', change, { signal });
  }

  async transferTo(id: number, signal?: AbortSignal): Promise<void> {
    this.#checkServes(signal);
    await this.#line.call('transferTo', id, { signal });
  }

  /** Says from now on where clients reach this member. */
  announce(own: ApiAddresses): void {
    this.#line.tell('announce', own);
  }

  /** Whether it leads, and everything committed before is applied here. */
  get leads(): boolean {
    return this.#leads;
  }

  watchLeadership(listener: (leads: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get membership(): Membership {
    return this.#membership;
  }

  get progress(): readonly MemberProgress[] {
    return this.#progress;
  }

  status(): ConsensusStatus {
    const role = this.#closing === undefined ? this.#status.role : 'closed';
    const { index = 0 } = this.#state?.applied ?? {};
    return {
      ...this.#status,
      role: this.#failure === undefined ? role : 'failed',
      commitIndex: Math.max(this.#status.commitIndex, index),
      lastIndex: Math.max(this.#status.lastIndex, index),
      logLength: Math.max(this.#status.lastIndex, index) - this.#status.firstIndex + 1,
      lastApplied: index,
      pendingProposals: this.#proposals.count,
      failure: this.#failure,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // Whatever proposed before is asked before it closes.
    this.#proposals.send();
    try {
      if (!this.#hasDied) await this.#line.call('close', null);
    } finally {
      this.#proposals.rejectAll(withOutcome(closedError(), 'unknown'));
      this.#line.end(closedError());
      await this.#options.terminate();
    }
  }

  get #replica(): ReplicatedState {
    assert(this.#state !== undefined, 'the log asks for the state once it was started with it');
    return this.#state;
  }

  #checkServes(signal: AbortSignal | undefined): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closing !== undefined) throw closedError();
    if (!this.#isServing)
      throw new EtlError('ETL_UNAVAILABLE', 'the router is reading its log; try again in a moment');
    if (signal?.aborted === true) {
      throw new EtlError('ETL_CANCELLED', 'the caller left before the command was sent', {
        cause: signal.reason,
      });
    }
  }

  async #apply({ first, terms, data, memberships, proposals }: CommittedBatch): Promise<Packed> {
    const changes = new Map(memberships);
    const entries = unpack(data).map((bytes, at): CommittedEntry => {
      const membership = changes.get(at);
      const entry = { index: first + at, term: terms[at] as number, data: bytes };
      return membership === undefined ? entry : { ...entry, membership };
    });
    const results = await this.#replica.apply(entries);
    assert(results.length === entries.length, 'the state answers every entry');
    const others = results.map((result, at) => {
      const id = proposals[at] as number;
      if (id === 0) return result;
      const { index, term } = entries[at] as CommittedEntry;
      this.#proposals.answer(id, { index, term, result });
      return noResult;
    });
    return pack(others);
  }

  #snapshot(named: LogPosition): Promise<LogPosition> {
    this.#name(named);
    return this.#replica.snapshot();
  }

  async #install(position: LogPosition): Promise<Uint8Array | undefined> {
    await this.#replica.install(position);
    return this.#replica.membership;
  }

  /** The log names that snapshot now; an older one is never named again. */
  #name(snapshot: LogPosition): void {
    if (this.#log !== undefined) this.#log.snapshot = snapshot;
  }

  #see({ status, failure, leads, membership, progress }: ViewChange): void {
    if (status !== undefined) this.#status = status;
    if (membership !== undefined) this.#membership = membership;
    if (progress !== undefined) this.#progress = progress;
    if (failure !== undefined) this.#fail(fromWireError(failure));
    else if (leads !== undefined) this.#tellLeads(leads);
  }

  #tellLeads(leads: boolean): void {
    if (leads === this.#leads) return;
    this.#leads = leads;
    for (const listener of [...this.#listeners]) listener(leads);
  }

  /** Nothing is answered any more that is not known here. */
  #fail(error: EtlError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#proposals.rejectAll(withOutcome(error, 'unknown'));
    this.#tellLeads(false);
    if (this.#closing === undefined) this.#failWith(error);
  }

  #die(error: EtlError): void {
    this.#hasDied = true;
    this.#fail(error);
    this.#line.end(error);
  }
}

function unopened({ clusterId, nodeId }: RaftThreadOptions): Omit<ConsensusStatus, 'failure'> {
  return {
    clusterId,
    nodeId,
    role: 'starting',
    term: 0,
    leaderId: undefined,
    commitIndex: 0,
    lastApplied: 0,
    firstIndex: 1,
    lastIndex: 0,
    logLength: 0,
    snapshotIndex: 0,
    logBytes: 0,
    logQuotaBytes: Number.POSITIVE_INFINITY,
    contacts: [],
    pendingProposals: 0,
  };
}
