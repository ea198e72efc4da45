import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEtlError } from '@etl-router/core';
import { readSettings } from '../src/settings.ts';

const fallbacks = { podName: 'laptop', namespace: 'default' };
const image = { ETL_ROUTER_IMAGE: 'registry.example:5000/etl-router/router:1.2.3' };

test('what is left out has its default, and a pod says where its lease is', () => {
  assert.deepEqual(readSettings(image, fallbacks), {
    podName: 'laptop',
    leaseNamespace: 'default',
    leaseName: 'etl-operator',
    routerImage: { repository: 'registry.example:5000/etl-router/router', version: '1.2.3' },
    watchNamespaces: [],
    logLevel: 'info',
    metrics: { host: '0.0.0.0', port: 8080 },
    failpoint: undefined,
  });
  const { leaseNamespace } = readSettings({ ...image, POD_NAMESPACE: 'etl-system' }, fallbacks);
  assert.equal(leaseNamespace, 'etl-system');
});

test('an empty variable is none, and namespaces are told apart by commas', () => {
  const given = { ...image, ETL_WATCH_NAMESPACES: ' shop, ,bank,shop', ETL_LOG_LEVEL: '' };
  const settings = readSettings(given, fallbacks);
  assert.deepEqual(settings.watchNamespaces, ['shop', 'bank']);
  assert.equal(settings.logLevel, 'info');
  const addresses = { '[::1]:9': { host: '::1', port: 9 }, ':80': { host: '0.0.0.0', port: 80 } };
  for (const [text, address] of Object.entries(addresses)) {
    assert.deepEqual(
      readSettings({ ...image, ETL_METRICS_ADDR: text }, fallbacks).metrics,
      address,
    );
  }
});

test('each variable is refused by its name', () => {
  const many = Array.from({ length: 11 }, (_, at) => `shop-${at}`).join(',');
  const bad = [
    { ETL_ROUTER_IMAGE: '' },
    { ETL_ROUTER_IMAGE: 'router' },
    { ETL_ROUTER_IMAGE: `router:1@sha256:${'0'.repeat(64)}` },
    { ETL_WATCH_NAMESPACES: 'Shop' },
    { ETL_WATCH_NAMESPACES: many },
    { ETL_LEASE_NAMESPACE: 'a/b' },
    { ETL_LEASE_NAME: 'a/b' },
    { ETL_LOG_LEVEL: 'loud' },
    { ETL_METRICS_ADDR: '127.0.0.1:70000' },
    { ETL_FAILPOINT: 'sometimes' },
  ];
  for (const each of bad) {
    const [name = ''] = Object.keys(each);
    assert.throws(
      () => readSettings({ ...image, ...each }, fallbacks),
      (error: unknown) =>
        isEtlError(error) && error.code === 'ETL_CONFIG_INVALID' && error.message.startsWith(name),
    );
  }
});
