// What the tests of the runtime share: a pretend server, a client of it, and ways to wait for events without waiting for time.

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Clock, ManualClock, type Random, seededRandom, systemClock } from '@etl-router/core';
import { Registry } from 'prom-client';
import { KubeConnection } from '../../src/runtime/connection.ts';
import type { KubeCallerOptions } from '../../src/runtime/kube-caller.ts';
import type { KubeKind, ObjectRef, UntypedObject } from '../../src/runtime/kube-object.ts';
import { type RuntimeMetrics, registerRuntimeMetrics } from '../../src/runtime/metrics.ts';
import { RawKube } from '../../src/runtime/raw-kube.ts';
import { FaultyApiServer } from '../faulty-api-server/faulty-api-server.ts';

export const configMaps: KubeKind = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  namespaced: true,
};
export const pods: KubeKind = { apiVersion: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };
export const widgets: KubeKind = {
  apiVersion: 'example.test/v1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
};

export function refTo(kind: KubeKind, name: string, namespace = 'shop'): ObjectRef {
  return { kind, namespace, name };
}

export function objectOf(
  kind: KubeKind,
  name: string,
  fields: { [field: string]: unknown } = {},
): UntypedObject {
  const { metadata, ...rest } = fields as { metadata?: object };
  return {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    metadata: { name, namespace: 'shop', ...metadata },
    ...rest,
  };
}

/** A server, a client of it, its time and its metrics; all closed with the test. */
export interface Bench {
  readonly server: FaultyApiServer;
  readonly client: RawKube;
  readonly connection: KubeConnection;
  readonly clock: ManualClock;
  readonly random: Random;
  readonly registry: Registry;
  readonly metrics: RuntimeMetrics;
  /** Moves time in small steps, I/O going on between them, until the condition holds. */
  readonly until: (condition: () => boolean, what: string, stepMs?: number) => Promise<void>;
  /** The value of a metric under labels. */
  readonly metric: (
    name: string,
    labels?: { [label: string]: string },
  ) => Promise<number | undefined>;
}

export async function startBench(
  t: TestContext,
  options: Partial<KubeCallerOptions> = {},
): Promise<Bench> {
  const clock = new ManualClock(1_000_000);
  const server = await FaultyApiServer.start(clock);
  const connection = new KubeConnection(server.kubeConfig(), clock);
  const registry = new Registry();
  const metrics = registerRuntimeMetrics(registry);
  const client = new RawKube({
    connection,
    clock,
    metrics,
    callsPerSecond: 1000,
    burst: 1000,
    ...options,
  });
  t.after(async () => {
    connection.close();
    await server.close();
  });
  return {
    server,
    client,
    connection,
    clock,
    random: seededRandom(1),
    registry,
    metrics,
    until: (condition, what, stepMs = 10) => driveUntil(clock, condition, what, stepMs),
    metric: async (name, labels = {}) => {
      const found = (await registry.getSingleMetric(name)?.get())?.values ?? [];
      return found.find((value) =>
        Object.entries(labels).every(
          ([label, wanted]) => (value.labels as { [label: string]: unknown })[label] === wanted,
        ),
      )?.value;
    },
  };
}

/** Moves `clock` until the condition holds; fails after many turns of the event loop. */
export async function driveUntil(
  clock: ManualClock,
  condition: () => boolean,
  what: string,
  stepMs = 10,
): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    assert.ok(turn < 50_000, `in vain: ${what}`);
    clock.advance(stepMs);
    await nextTurn();
  }
}

/** Lets I/O go on until the condition holds; time stands still. */
export async function eventually(
  condition: () => boolean,
  what: string,
  clock: Clock = systemClock,
): Promise<void> {
  const startMs = clock.monotonicMs();
  while (!condition()) {
    assert.ok(clock.monotonicMs() - startMs < 20_000, `in vain: ${what}`);
    await nextTurn();
  }
}

/** Lets callbacks and loopback I/O run for some turns of the event loop. */
export async function turns(count = 20): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn();
}
