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

const problemsMax = 1000;

/** The problems of this node. */
export class Problems {
  readonly #clock: Clock;
  /** By what makes them the same, the least recent first. */
  readonly #problems = new Map<string, Problem>();
  #ids = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  record(report: ProblemReport): void {
    const { kind, pipelineId, serviceId, stage, code } = report;
    const key = JSON.stringify([kind, pipelineId, serviceId, stage, code]);
    const before = this.#problems.get(key);
    const nowMs = this.#clock.wallMs();
    this.#problems.delete(key);
    const isNew = before === undefined || before.resolved;
    if (isNew) this.#ids += 1;
    this.#problems.set(key, {
      ...report,
      id: isNew ? String(this.#ids) : before.id,
      firstAtMs: isNew ? nowMs : before.firstAtMs,
      lastAtMs: nowMs,
      count: isNew ? 1 : before.count + 1,
      resolved: false,
    });
    const [oldest] = this.#problems.keys();
    if (this.#problems.size > problemsMax && oldest !== undefined) this.#problems.delete(oldest);
  }

  /** The latest first. */
  list(): readonly Problem[] {
    return Array.from(this.#problems.values()).reverse();
  }

  get(id: string): Problem | undefined {
    return this.list().find((problem) => problem.id === id);
  }

  /** Marks one as dealt with; false when there is none of that id. */
  resolve(id: string): boolean {
    for (const [key, problem] of this.#problems) {
      if (problem.id !== id) continue;
      this.#problems.set(key, { ...problem, resolved: true });
      return true;
    }
    return false;
  }

  /** Forgets those that were dealt with; says how many. */
  clearResolved(): number {
    const before = this.#problems.size;
    for (const [key, problem] of this.#problems) {
      if (problem.resolved) this.#problems.delete(key);
    }
    return before - this.#problems.size;
  }
}
