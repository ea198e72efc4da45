// The log's end of the line: it drives one member for the main thread. It decides nothing, it carries calls to the node
// and committed entries back, and says how the member is.

import { assert, type Cancel, type Clock } from '@etl-router/core';
import type { SyncEvent } from '../../storage/log.ts';
import type { LogReader } from '../../storage/log-types.ts';
import type { RaftNode } from '../node.ts';
import type { ApiAddresses } from '../transport.ts';
import { Line, type Port } from './line.ts';
import { unpackViews } from './packed.ts';
import type {
  AbandonedProposal,
  LogCalls,
  LoopDelay,
  MainCalls,
  MainWords,
  OpenedLog,
  ProposalBatch,
} from './protocol.ts';
import { RemoteState } from './remote-state.ts';
import { ViewChanges } from './view-changes.ts';
import { fromCause, toWireError } from './wire-error.ts';

/** A member whose log is open. */
export interface OpenMember {
  readonly log: LogReader & { readonly tornBytes: number };
  readonly clusterId: string;
  /** The node, connected to those who belong to the cluster as of the state; not started. */
  readonly join: (membership: Uint8Array | undefined) => Promise<RaftNode>;
  /** Says from now on where clients reach this member. */
  readonly announce: (own: ApiAddresses) => void;
  /** Closes all of it. */
  close(): Promise<void>;
}

/** What of the main thread's a member that opens may use, and what it is to say. */
export interface MemberSurroundings {
  readonly line: Line<MainCalls, MainWords>;
  readonly onSync: (event: SyncEvent) => void;
  /** Something came from another member. */
  readonly onReceived: () => void;
}

export interface LogHostOptions {
  readonly port: Port;
  readonly clock: Clock;
  readonly tickMs: number;
  /** Finds the cluster and opens the log. */
  readonly openMember: (parts: MemberSurroundings, signal: AbortSignal) => Promise<OpenMember>;
  /** How late this thread was since it was last asked. */
  readonly takeDelay: () => LoopDelay;
}

/** How often the main thread hears how late this one is. */
const delayEveryMs = 5000;

export class LogHost {
  readonly #options: LogHostOptions;
  readonly #line: Line<MainCalls, MainWords>;
  /** The main thread's proposals on their way, by the very bytes that are in the log. */
  readonly #proposals = new Map<Uint8Array, number>();
  readonly #abortable = new Map<number, AbortController>();
  readonly #closing = new AbortController();
  #opening: Promise<OpenMember> | undefined;
  #member: OpenMember | undefined;
  #started: RaftNode | undefined;
  #views: ViewChanges | undefined;
  #isTickDue = false;
  #isLookDue = false;
  #cancelTick: Cancel | undefined;
  #delaySaidMs: number;

  constructor(options: LogHostOptions) {
    this.#options = options;
    this.#delaySaidMs = options.clock.monotonicMs();
    const serves: LogCalls = {
      open: ({ appliedIndex }, signal) => this.#open(appliedIndex, signal),
      start: (state) => this.#start(state),
      readIndex: () => this.#node.readIndex(),
      changeMembers: (change, signal) => this.#node.changeMembers(change, { signal }),
      transferTo: (id, signal) => this.#node.transferTo(id, signal),
      close: () => this.#close(),
    };
    this.#line = new Line({
      port: options.port,
      serves,
      hears: {
        propose: (batch: ProposalBatch) => this.#proposeAll(batch),
        announce: (own: ApiAddresses) => this.#member?.announce(own),
        abandon: ({ id, reason }: AbandonedProposal) =>
          this.#abortable.get(id)?.abort(fromCause(reason)),
      },
      preface: () => this.#preface(),
    });
  }

  /** Something that is no member's logger writes a line of the log. */
  get line(): Line<MainCalls, MainWords> {
    return this.#line;
  }

  get #node(): RaftNode {
    assert(this.#started !== undefined, 'the main thread asks once it has started the member');
    return this.#started;
  }

  async #open(appliedIndex: number, signal: AbortSignal): Promise<OpenedLog> {
    assert(this.#opening === undefined, 'a member is opened once');
    const line = this.#line;
    this.#opening = this.#options.openMember(
      {
        line,
        onSync: (event) => line.tellAlong('synced', event),
        onReceived: () => this.#look(),
      },
      AbortSignal.any([signal, this.#closing.signal]),
    );
    const { log, clusterId } = await this.#opening;
    this.#member = await this.#opening;
    const { snapshot, compacted, lastIndex, tornBytes } = log;
    return { clusterId, snapshot, compacted, lastIndex, tornBytes, term: log.term(appliedIndex) };
  }

  async #start({ applied, membership }: Parameters<LogCalls['start']>[0]): Promise<void> {
    const { log, join } = this.#member as OpenMember;
    const line = this.#line;
    const node = await join(membership);
    this.#started = node;
    this.#views = new ViewChanges(node);
    node.watchLeadership(() => line.nudge());
    void node.failed.then(() => line.nudge());
    this.#tick();
    const takeProposal = (command: Uint8Array): number => this.#takeProposal(command);
    await node.start(new RemoteState({ line: this.#line, log, applied, membership, takeProposal }));
  }

  #takeProposal(command: Uint8Array): number {
    const id = this.#proposals.get(command) ?? 0;
    this.#proposals.delete(command);
    return id;
  }

  #proposeAll({ ids, commands, freeing, abortable }: ProposalBatch): void {
    const [frees, aborts] = [new Set(freeing), new Set(abortable)];
    for (const [at, command] of unpackViews(commands).entries()) {
      const id = ids[at] as number;
      void this.#propose(id, command, { frees: frees.has(id), isAbortable: aborts.has(id) });
    }
  }

  /** What came into the own log is answered where it is applied; here is told only what did not. */
  async #propose(
    id: number,
    command: Uint8Array,
    { frees, isAbortable }: { readonly frees: boolean; readonly isAbortable: boolean },
  ): Promise<void> {
    const controller = isAbortable ? new AbortController() : undefined;
    if (controller !== undefined) this.#abortable.set(id, controller);
    this.#proposals.set(command, id);
    try {
      const answer = await this.#node.propose(command, { frees, signal: controller?.signal });
      if (this.#proposals.has(command)) this.#line.tell('answered', { id, answer });
    } catch (error) {
      this.#line.tell('refused', { id, error: toWireError(error) });
    }
    this.#proposals.delete(command);
    this.#abortable.delete(id);
  }

  /** A message may have changed who leads: looked at once for all of a turn, behind the node's own turn. */
  #look(): void {
    if (this.#isLookDue) return;
    this.#isLookDue = true;
    setImmediate(() => {
      this.#isLookDue = false;
      if (this.#views?.isUrgent === true) this.#line.nudge();
    });
  }

  #tick(): void {
    const { clock, tickMs, takeDelay } = this.#options;
    if (clock.monotonicMs() - this.#delaySaidMs >= delayEveryMs) {
      this.#delaySaidMs = clock.monotonicMs();
      this.#line.tellAlong('delayed', takeDelay());
    }
    this.#isTickDue = true;
    this.#line.nudge();
    this.#cancelTick = clock.after(tickMs, () => this.#tick());
  }

  #preface(): { readonly name: string; readonly value: unknown } | undefined {
    const value = this.#views?.take(this.#isTickDue);
    this.#isTickDue = false;
    return value && { name: 'view', value };
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    const member = await this.#opening?.catch(() => undefined);
    try {
      await member?.close();
    } finally {
      this.#cancelTick?.();
    }
  }
}
