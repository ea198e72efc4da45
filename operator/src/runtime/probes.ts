// The port that kubelet and Prometheus ask: /livez for "restart me if this fails", /readyz for "I am of use", /startupz for
// "I am on my way", /metrics. A standby is ready: it is of use by waiting. Nothing here changes anything.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Cancel, Clock } from '@etl-router/core';
import type { Registry } from 'prom-client';
import type { Controller } from './controller.ts';
import { byNamespace, type CacheView } from './informer.ts';
import type { RawKube } from './raw-kube.ts';

const lagMaxMs = 5000;
const lagIntervalMs = 500;
const silenceMaxMs = 60_000;

/** One question and its answer. */
export interface Check {
  readonly name: string;
  /** Undefined: fine. Else what is wrong, in a few words. */
  readonly check: () => string | undefined;
}

/** How late the event loop is. */
export class LoopLag {
  readonly #clock: Clock;
  #dueMs: number;
  #lagMs = 0;
  #cancel: Cancel;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#dueMs = clock.monotonicMs() + lagIntervalMs;
    this.#cancel = clock.after(lagIntervalMs, () => this.#tick());
  }

  /** How late the last tick was, or the next one is by now. */
  get lagMs(): number {
    return Math.max(this.#lagMs, this.#clock.monotonicMs() - this.#dueMs);
  }

  close(): void {
    this.#cancel();
  }

  #tick(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#lagMs = nowMs - this.#dueMs;
    this.#dueMs = nowMs + lagIntervalMs;
    this.#cancel = this.#clock.after(lagIntervalMs, () => this.#tick());
  }
}

/** Alive: the loop turns, and no run goes on for twice its deadline. */
export function livenessChecks(lag: LoopLag, controllers: readonly Controller[]): Check[] {
  return [
    {
      name: 'event-loop',
      check: () => (lag.lagMs < lagMaxMs ? undefined : `${Math.round(lag.lagMs)} ms late`),
    },
    ...controllers.map((controller) => ({
      name: `controller-${controller.name}`,
      check: () => (controller.stuck ? 'a run neither ends nor hears its deadline' : undefined),
    })),
  ];
}

/**
 * Started: every cache is full, or was refused where that may be, but not those of all namespaces: an operator that sees none
 * takes no place of one that does.
 */
export function startupChecks(informers: readonly CacheView[]): Check[] {
  const places = byNamespace(informers);
  const isOfUse = (): boolean => places.some((own) => own.every(({ listed }) => listed));
  return [
    ...informers.map((informer) => ({
      name: `cache-${informer.kind.plural}`,
      check: () => (informer.synced ? undefined : (informer.failure?.message ?? 'not listed yet')),
    })),
    ...(places.length === 0
      ? []
      : [{ name: 'namespaces', check: () => (isOfUse() ? undefined : 'none may be read') }]),
  ];
}

/** What readiness depends on beside the caches. */
export interface ReadinessOptions {
  readonly clients: readonly RawKube[];
  readonly informers: readonly CacheView[];
  readonly clock: Clock;
  readonly stopping: () => boolean;
}

/** Ready: started, not stopping, and the API server answered within a minute. */
export function readinessChecks(options: ReadinessOptions): Check[] {
  const { clients, informers, clock, stopping } = options;
  const silenceMs = (): number => {
    const nowMs = clock.monotonicMs();
    const heard = informers.map(
      ({ lastEventAtMs }) => nowMs - (lastEventAtMs ?? Number.NEGATIVE_INFINITY),
    );
    return Math.min(...clients.map((client) => client.sinceAnswerMs()), ...heard);
  };
  return [
    { name: 'running', check: () => (stopping() ? 'shutting down' : undefined) },
    ...startupChecks(informers),
    {
      name: 'api-server',
      check: () => (silenceMs() < silenceMaxMs ? undefined : 'did not answer for a minute'),
    },
  ];
}

export interface ProbeHandlerOptions {
  readonly registry: Registry;
  readonly live: readonly Check[];
  readonly ready: readonly Check[];
  readonly started: readonly Check[];
}

/** The handler of the port. */
export function createProbeHandler(
  options: ProbeHandlerOptions,
): (request: IncomingMessage, response: ServerResponse) => void {
  const { registry, live, ready, started } = options;
  const pages = new Map([
    ['/livez', live],
    ['/readyz', ready],
    ['/startupz', started],
  ]);
  return (request, response) => {
    const path = (request.url ?? '/').split('?', 1)[0] as string;
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return answer(response, 405, 'only GET and HEAD\n');
    }
    const checks = pages.get(path);
    if (checks !== undefined) return answerChecks(response, checks);
    if (path === '/metrics') return answerMetrics(response, registry);
    return answer(response, 404, `not found; try /metrics, ${[...pages.keys()].join(', ')}\n`);
  };
}

function answerChecks(response: ServerResponse, checks: readonly Check[]): void {
  const faults = checks.map(({ name, check }) => ({ name, fault: check() }));
  const lines = faults.map(({ name, fault }) =>
    fault === undefined ? `[+] ${name}` : `[-] ${name}: ${fault}`,
  );
  const fine = faults.every(({ fault }) => fault === undefined);
  answer(response, fine ? 200 : 503, `${[...lines, fine ? 'ok' : 'failed'].join('\n')}\n`);
}

function answerMetrics(response: ServerResponse, registry: Registry): void {
  registry.metrics().then(
    (text) => {
      response.setHeader('content-type', registry.contentType);
      response.end(text);
    },
    () => answer(response, 500, 'metrics could not be collected\n'),
  );
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status;
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.setHeader('x-content-type-options', 'nosniff');
  response.end(text);
}
