// What went wrong lately, for people who look: a bounded list of this node's memory. It explains; nothing depends on it.

import type { Clock } from '@etl-router/core';

export const problemKinds = [
  'pipelineFailure',
  'transformError',
  'sinkError',
  'sourceError',
  'deadLetter',
  'serviceUnhealthy',
  'timeout',
  'validationError',
  'unknown',
] as const;
export type ProblemKind = (typeof problemKinds)[number];

/** Something that went wrong. The same thing again counts up and is not listed twice. */
export interface Problem {
  readonly id: string;
  readonly kind: ProblemKind;
  readonly pipelineId: string | undefined;
  readonly serviceId: string | undefined;
  readonly stage: string | undefined;
  readonly code: string;
  readonly message: string;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  /** How often it happened. */
  readonly count: number;
  readonly resolved: boolean;
}

/** What went wrong, as it is recorded. */
export type ProblemReport = Pick<
  Problem,
  'kind' | 'pipelineId' | 'serviceId' | 'stage' | 'code' | 'message'
>;

/** What problems are about: a pipeline, or a service or sidecar. */
export type ProblemObject = Pick<Problem, 'pipelineId'> | Pick<Problem, 'serviceId'>;

export interface RecordOptions {
  /** Tells a new occurrence from one that is told again, as heartbeats do; absent: every call is a new one. */
  readonly occurrence?: string;
  /** It was overcome before it was told. */
  readonly isOver?: boolean;
}

const problemsMax = 1000;
const messageMaxLength = 1000;

interface Entry {
  problem: Problem;
  /** The occurrence that was counted last. */
  readonly occurrence: string | undefined;
}

/** The problems of this node. */
export class Problems {
  readonly #clock: Clock;
  /** By what makes them the same, the least recent first. */
  readonly #entries = new Map<string, Entry>();
  /** Keys by object, so that a heartbeat of a pipeline without problems costs one look-up. */
  readonly #byObject = new Map<string, Set<string>>();
  #ids = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes a problem in. One that is told again with the `occurrence` it had is not counted again. */
  record(report: ProblemReport, options: RecordOptions = {}): void {
    const { occurrence, isOver = false } = options;
    const { kind, pipelineId, serviceId, stage, code } = report;
    const key = JSON.stringify([kind, pipelineId, serviceId, stage, code]);
    const entry = this.#entries.get(key);
    if (entry !== undefined && occurrence !== undefined && entry.occurrence === occurrence) {
      if (isOver) entry.problem = { ...entry.problem, resolved: true };
      return;
    }
    const before = entry?.problem.resolved === false ? entry.problem : undefined;
    const nowMs = this.#clock.wallMs();
    if (before === undefined) this.#ids += 1;
    const problem: Problem = {
      ...report,
      message: report.message.slice(0, messageMaxLength),
      id: before?.id ?? String(this.#ids),
      firstAtMs: before?.firstAtMs ?? nowMs,
      lastAtMs: nowMs,
      count: (before?.count ?? 0) + 1,
      resolved: isOver,
    };
    this.#remove(key);
    this.#entries.set(key, { problem, occurrence });
    const keys = this.#byObject.get(objectOf(report)) ?? new Set();
    this.#byObject.set(objectOf(report), keys.add(key));
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > problemsMax && oldest !== undefined) this.#remove(oldest);
  }

  /**
   * Marks what is wrong with an object, all of it or of one stage, as over: it was seen to be well. Whatever is told
   * from now on is a new occurrence.
   */
  settle(object: ProblemObject, stage?: string): void {
    for (const key of this.#byObject.get(objectOf(object)) ?? []) {
      const { problem } = this.#entries.get(key) as Entry;
      if (problem.resolved || (stage !== undefined && problem.stage !== stage)) continue;
      this.#entries.set(key, { problem: { ...problem, resolved: true }, occurrence: undefined });
    }
  }

  /** The latest first. */
  list(): readonly Problem[] {
    return Array.from(this.#entries.values(), ({ problem }) => problem).reverse();
  }

  get(id: string): Problem | undefined {
    return this.list().find((problem) => problem.id === id);
  }

  /** Marks one as dealt with; false when there is none of that id. */
  resolve(id: string): boolean {
    for (const entry of this.#entries.values()) {
      if (entry.problem.id !== id) continue;
      entry.problem = { ...entry.problem, resolved: true };
      return true;
    }
    return false;
  }

  /** Forgets those that were dealt with; says how many. */
  clearResolved(): number {
    const before = this.#entries.size;
    for (const [key, { problem }] of this.#entries) if (problem.resolved) this.#remove(key);
    return before - this.#entries.size;
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    const object = objectOf(entry.problem);
    const keys = this.#byObject.get(object);
    keys?.delete(key);
    if (keys?.size === 0) this.#byObject.delete(object);
  }
}

function objectOf(object: Partial<Pick<Problem, 'pipelineId' | 'serviceId'>>): string {
  return JSON.stringify([object.pipelineId ?? null, object.serviceId ?? null]);
}
