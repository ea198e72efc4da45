// The metrics and probes port: /metrics for Prometheus, /livez for "restart me if this fails", /readyz for "send me
// work". It never changes anything and answers within a second whatever the cluster does.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';

/** One reason not to be ready. */
export interface ReadinessCheck {
  readonly name: string;
  /** Undefined: fine. Else what is missing, in a few words. */
  readonly check: () => string | undefined;
}

export interface ProbeOptions {
  readonly registry: Registry;
  readonly metricsPath: string;
  /** Liveness never depends on quorum: a router without a leader must not be restarted. */
  readonly readiness: readonly ReadinessCheck[];
}

/** The handler of the metrics port. */
export function createProbeHandler(
  options: ProbeOptions,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const path = (request.url ?? '/').split('?')[0] as string;
    const known = [options.metricsPath, '/livez', '/readyz', '/healthz'];
    if (!known.includes(path)) return answer(response, 404, `not found; try ${known.join(', ')}\n`);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return answer(response, 405, 'only GET and HEAD\n');
    }
    if (path === options.metricsPath) return answerMetrics(response, options.registry);
    if (path === '/livez') return answer(response, 200, 'ok\n');
    return answerReadiness(response, options.readiness);
  };
}

function answerReadiness(response: ServerResponse, checks: readonly ReadinessCheck[]): void {
  const lines = checks.map(({ name, check }) => {
    const fault = check();
    return {
      ok: fault === undefined,
      text: `[${fault === undefined ? '+' : '-'}] ${name}${fault === undefined ? '' : `: ${fault}`}`,
    };
  });
  const ready = lines.every(({ ok }) => ok);
  answer(
    response,
    ready ? 200 : 503,
    `${lines.map(({ text }) => text).join('\n')}\n${ready ? 'ok' : 'not ready'}\n`,
  );
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
