// Acts against an API server that has something else by now than what was planned for.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { systemClock } from '@etl-router/core';
import type { EtlRouterCluster } from '@etl-router/crds';
import { claimKind } from '../../src/cluster/kinds.ts';
import { clusterUidLabel, givenUpLabel } from '../../src/cluster/names.ts';
import { Actor, type CallAct } from '../../src/cluster/perform.ts';
import { RouterAdmins } from '../../src/router-client.ts';
import { isStatus } from '../../src/runtime/api-error.ts';
import type { JsonObject } from '../faulty-api-server/json.ts';
import { type Bench, objectOf, startBench } from '../runtime/harness.ts';

const name = 'data-main-3';
const key = { collection: '/api/v1/persistentvolumeclaims', namespace: 'shop', name };
const owner = 'an earlier one';
const cluster = { metadata: { name: 'main', namespace: 'shop', uid: 'ours' } } as EtlRouterCluster;

/** A claim of that name that nobody saw before; the result is its uid. */
function makeClaim({ server }: Bench): string {
  const labels = { [clusterUidLabel]: owner };
  const claim = objectOf(claimKind, name, { metadata: { labels } });
  return server.store.create(key, claim as unknown as JsonObject).metadata.uid;
}

async function startActor(t: TestContext) {
  const bench = await startBench(t);
  const routers = new RouterAdmins({ clock: systemClock, epoch: () => 1 });
  const actor = new Actor({ client: bench.client, routers });
  const { signal } = new AbortController();
  const context = { cluster, credentials: undefined, leader: undefined, signal };
  return { bench, perform: (act: CallAct): Promise<void> => actor.perform(act, context) };
}

for (const [kind, label, before] of [
  ['markClaim', givenUpLabel, undefined],
  ['adoptClaim', clusterUidLabel, owner],
] as const)
  test(`${kind} changes the very claim that was seen, and no later one of its name`, async (t) => {
    const { bench, perform } = await startActor(t);
    const { store } = bench.server;
    const labelled = () => (store.get(key).metadata['labels'] as JsonObject)[label];
    const stale = makeClaim(bench);
    store.delete(key);
    const uid = makeClaim(bench);
    await assert.rejects(perform({ kind, name, uid: stale }), (error) => isStatus(error, 422));
    assert.equal(labelled(), before);
    await perform({ kind, name, uid });
    assert.equal(labelled(), cluster.metadata.uid);
  });
