import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEtlError } from '@etl-router/core';
import { Counter, Registry } from 'prom-client';
import { listenHttp } from '../../src/api/http/listen.ts';
import { createProbeHandler } from '../../src/api/http/probes.ts';

async function withProbes(
  leader: { known: boolean },
  run: (base: string, port: number) => Promise<void>,
): Promise<void> {
  const registry = new Registry();
  new Counter({ name: 'etl_test_total', help: 'A counter.', registers: [registry] }).inc();
  const server = await listenHttp({
    address: { host: '127.0.0.1', port: 0 },
    flag: 'metrics-addr',
    handler: createProbeHandler({
      registry,
      metricsPath: '/metrics',
      readiness: [{ name: 'leader', check: () => (leader.known ? undefined : 'none is known') }],
    }),
  });
  try {
    await run(`http://127.0.0.1:${server.address.port}`, server.address.port);
  } finally {
    await server.close(1000);
  }
}

test('liveness does not depend on a leader, readiness does', async () => {
  const leader = { known: false };
  await withProbes(leader, async (base) => {
    assert.equal((await fetch(`${base}/livez`)).status, 200);
    const notReady = await fetch(`${base}/readyz`);
    assert.equal(notReady.status, 503);
    assert.match(await notReady.text(), /\[-\] leader: none is known/);
    leader.known = true;
    assert.equal((await fetch(`${base}/healthz`)).status, 200);
  });
});

test('metrics are Prometheus text, and unknown paths and methods are refused', async () => {
  await withProbes({ known: true }, async (base) => {
    assert.match(await (await fetch(`${base}/metrics`)).text(), /etl_test_total 1/);
    assert.equal((await fetch(`${base}/%2e%2e/etc/passwd`)).status, 404);
    const posted = await fetch(`${base}/livez`, { method: 'POST' });
    assert.equal(posted.status, 405);
    assert.equal(posted.headers.get('allow'), 'GET, HEAD');
  });
});

test('a taken port is an error that names the flag', async () => {
  await withProbes({ known: true }, async (_base, port) => {
    await assert.rejects(
      listenHttp({
        address: { host: '127.0.0.1', port },
        flag: 'http-addr',
        handler: () => undefined,
      }),
      (error) =>
        isEtlError(error) &&
        error.code === 'ETL_PORT_IN_USE' &&
        error.message.includes('--http-addr'),
    );
  });
});
