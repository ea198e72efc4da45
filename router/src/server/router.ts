// The router's server: every object that interfaces call, over one state and one log. It decides nothing itself; it
// wires. Standalone calls the objects directly, gRPC and GraphQL translate to the same calls.

import { type Clock, EtlError, type Logger, type Random } from '@etl-router/core';
import { plan as planPipelines } from '@etl-router/pipeline';
import { type BackupParts, Backups } from './backups.ts';
import { Checkpoints } from './checkpoints.ts';
import type { ClusterStatus, ServerConsensus } from './cluster.ts';
import { type DeadLetterHolders, DeadLetters } from './dead-letters.ts';
import { DigestRounds, digestIntervalMs, type StateComparison } from './digest-rounds.ts';
import { Groups } from './groups.ts';
import { checkLeads, leaderHint } from './leader-hint.ts';
import { Live } from './live.ts';
import { Members } from './members.ts';
import { toCount } from './numbers.ts';
import { type ObjectCheck, Objects } from './objects.ts';
import { Operators } from './operators.ts';
import { type GuaranteeFunction, Pipelines } from './pipelines.ts';
import { type PlanFunction, Planner } from './planner.ts';
import { Positions } from './positions.ts';
import { ProblemWatch } from './problem-watch.ts';
import { Problems } from './problems.ts';
import { Proposer } from './proposer.ts';
import { Registry } from './registry.ts';
import { Sessions } from './sessions.ts';
import { Sidecars } from './sidecars.ts';
import type { StateHost } from './state-host.ts';

/** What a router is made of. */
export interface RouterParts {
  readonly host: StateHost;
  /** Commits entries and gives them, in order, to the same host. */
  readonly consensus: ServerConsensus;
  /** Name of this member (`--node-id`). */
  readonly nodeName: string;
  /** Whether it talks to other members, or stays alone. Default: it stays alone. */
  readonly isNetworked?: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Default: pipeline/src/plan.ts. */
  readonly plan?: PlanFunction;
  /** What else is to check in manifests, such as settings of connectors. Default: nothing. */
  readonly checks?: readonly ObjectCheck[];
  /** Default: nobody knows. */
  readonly guarantee?: GuaranteeFunction;
  /** Where dead letters are. Default: nowhere that is connected. */
  readonly deadLetterHolders?: DeadLetterHolders;
  /** Where backups come from and go to. Default: there are none. */
  readonly backups?: BackupParts;
  /** Compares this member's state with the others'. Default: nobody does. */
  readonly comparison?: StateComparison;
  /** Time between two comparisons. Default: 10 minutes. */
  readonly digestIntervalMs?: number;
}

/** A router. */
export class Router {
  readonly objects: Objects;
  readonly pipelines: Pipelines;
  readonly registry: Registry;
  readonly sidecars: Sidecars;
  readonly planner: Planner;
  readonly positions: Positions;
  readonly groups: Groups;
  readonly checkpoints: Checkpoints;
  readonly sessions: Sessions;
  readonly live: Live;
  readonly problems: Problems;
  readonly deadLetters: DeadLetters;
  readonly members: Members;
  readonly operators: Operators;
  readonly backups: Backups;
  readonly digestRounds: DigestRounds;
  readonly #comparison: StateComparison | undefined;
  readonly #problemWatch: ProblemWatch;
  readonly #host: StateHost;
  readonly #consensus: ServerConsensus;
  readonly #nodeName: string;
  #leading = new AbortController();
  #isClosed = false;

  constructor(parts: RouterParts) {
    const { host, consensus, clock, random, logger } = parts;
    const proposer = new Proposer({ log: consensus, clock, random });
    this.#host = host;
    this.#consensus = consensus;
    this.#nodeName = parts.nodeName;
    this.members = new Members({ consensus, isNetworked: parts.isNetworked ?? false });
    this.live = new Live(clock);
    this.problems = new Problems(clock);
    this.#problemWatch = new ProblemWatch({ host, problems: this.problems });
    const common = { host, proposer, clock, logger, problemWatch: this.#problemWatch };
    this.objects = new Objects({ host, proposer, checks: parts.checks ?? [] });
    this.registry = new Registry(common);
    this.sidecars = new Sidecars({ ...common, live: this.live, registry: this.registry });
    this.planner = new Planner({
      ...common,
      objects: this.objects,
      plan: parts.plan ?? planPipelines,
    });
    this.positions = new Positions({ ...common, live: this.live });
    this.groups = new Groups({ host, proposer });
    this.checkpoints = new Checkpoints({ host, proposer });
    this.sessions = new Sessions(common);
    const barrier = (signal?: AbortSignal): Promise<void> => this.barrier(signal);
    this.operators = new Operators({ host, proposer, barrier });
    this.backups = new Backups({ ...common, parts: parts.backups, consensus, random });
    this.#comparison = parts.comparison;
    const { comparison } = parts;
    this.digestRounds = new DigestRounds({
      ...common,
      comparison,
      consensus,
      members: this.members,
      intervalMs: parts.digestIntervalMs ?? digestIntervalMs,
    });
    this.deadLetters = new DeadLetters(parts.deadLetterHolders ?? (() => undefined));
    this.pipelines = new Pipelines({
      objects: this.objects,
      sidecars: this.sidecars,
      planner: this.planner,
      live: this.live,
      guarantee: parts.guarantee ?? (() => undefined),
      leader: () => this.#otherLeader(),
    });
  }

  /**
   * This node leads now, and has applied all that was committed before: it plans, and judges silence after one lease
   * of grace.
   */
  lead(): void {
    if (this.#isClosed) return;
    if (this.#leading.signal.aborted) this.#leading = new AbortController();
    this.registry.start();
    this.sidecars.start();
    this.sessions.start();
    this.backups.start();
    this.digestRounds.start();
    this.planner.start();
  }

  /**
   * For what only the leader knows or does. Throws ETL_NOT_LEADER that says who leads and where, or ETL_UNAVAILABLE;
   * `ask` is what to ask the leader for. The signal aborts, with such an error, when this member ceases to lead.
   */
  checkLeads(ask: string): AbortSignal {
    checkLeads(this.#consensus, ask);
    return this.#leading.signal;
  }

  /** Resolves when everything that was written before the call can be read here. */
  async barrier(signal?: AbortSignal): Promise<void> {
    await this.#consensus.readIndex({ signal });
  }

  /** The cluster as this node sees it. */
  cluster(): ClusterStatus {
    const status = this.#consensus.status();
    const leads = status.leaderId === status.nodeId;
    const leaderName = leads ? this.#nodeName : this.members.nameOf(status.leaderId);
    const { checkedIndex = 0, diverged = [] } = this.#comparison ?? {};
    const compared = { checkedIndex, divergedMembers: diverged.length };
    const { revision } = this;
    return { ...status, nodeName: this.#nodeName, leaderName, revision, ...compared };
  }

  /** Revision of the state. */
  get revision(): number {
    return toCount(this.#host.tables.clock().revision);
  }

  /** Storage or consensus failed: whoever still asks is told why. */
  noteFailure(error: EtlError): void {
    this.#problemWatch.failed(error);
  }

  /** Another node leads now. Reads and watches go on. */
  async follow(): Promise<void> {
    this.#leading.abort(this.#ledNoMore());
    this.live.clear();
    this.registry.stop();
    this.sidecars.stop();
    this.backups.stop();
    this.digestRounds.stop();
    await Promise.all([this.planner.stop(), this.sessions.stop()]);
  }

  #otherLeader(): string | undefined {
    const { role, leaderId } = this.#consensus.status();
    if (role === 'leader') return undefined;
    return leaderId === undefined ? 'a leader' : this.members.shown(leaderId);
  }

  #ledNoMore(): EtlError {
    const details = leaderHint(this.#consensus);
    return new EtlError(
      'ETL_NOT_LEADER',
      'this member ceased to lead; ask again, whoever leads now or knows who does',
      { retryable: true, details },
    );
  }

  /** Stops everything. What is stored stays; consensus is closed by who opened it. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.follow();
    this.registry.close();
    this.sidecars.close();
    this.digestRounds.close();
    this.#problemWatch.close();
  }
}
