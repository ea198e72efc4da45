// A router of one node on a real disk: the log, `level` for the rows, and nothing shared between two openings but the
// directory. Run as a program it works until it is killed, and says what it was promised.

import process from 'node:process';
import { positionOfCount, seededRandom, silentLogger, systemClock } from '@etl-router/core';
import { openMemberStorage } from '../../src/member-storage.ts';
import { Router } from '../../src/server/router.ts';
import type { StateHost } from '../../src/server/state-host.ts';
import { allText } from './harness.ts';

export interface OnDisk {
  readonly router: Router;
  readonly host: StateHost;
  close(): Promise<void>;
}

/** Opens the router in a directory. */
export async function openOnDisk(directory: string): Promise<OnDisk> {
  const parts = { clock: systemClock, random: seededRandom(3), logger: silentLogger };
  const storage = await openMemberStorage({
    ...parts,
    path: directory,
    name: '1',
    network: {
      listenAddress: { host: '127.0.0.1', port: 0 },
      isOpen: false,
      peers: [],
      security: { insecure: true },
    },
    heartbeatMs: 100,
    electionMs: 1000,
    signal: new AbortController().signal,
    snapshotInterval: 10_000,
    logQuotaBytes: Number.POSITIVE_INFINITY,
    onSync() {
      // Nobody counts here.
    },
  });
  const { host, consensus } = storage;
  const router = new Router({ ...parts, host, consensus, nodeName: '1' });
  return {
    router,
    host,
    async close() {
      await router.close();
      await storage.close();
    },
  };
}

/** Applies a pipeline, opens four lanes and commits to them in turn; says each commit that was promised. */
async function work(directory: string): Promise<never> {
  const { router } = await openOnDisk(directory);
  router.lead();
  await router.objects.applyText(allText);
  await router.sidecars.register({
    sidecarId: 'shop/pod',
    namespace: 'shop',
    offers: ['connectors'],
  });
  await router.planner.settled();
  const { planVersion = 0 } = router.sidecars.assignment('shop/orders') ?? {};
  const names = ['0', '1', '2', '3'].map((partition) => ({ source: 'in', partition }));
  const request = { pipelineId: 'shop/orders', sidecarId: 'shop/pod', planVersion, lanes: names };
  const lanes = await router.positions.openLanes(request);
  for (let count = committedSoFar(router) + 1; ; count++) {
    const { epoch, partition, source } = lanes[count % 4] as (typeof lanes)[number];
    const lane = { pipeline: 'shop/orders', source, partition };
    const refused = await router.positions.commit([
      { lane, epoch, position: positionOfCount(count) },
    ]);
    process.stdout.write(refused.length === 0 ? `${count}\n` : 'refused\n');
  }
}

/** The highest count that was committed to any lane. */
export function committedSoFar(router: Router): number {
  const counts = router.positions
    .list('shop/orders')
    .map(({ position }) =>
      position === undefined ? 0 : Number(Buffer.from(position).readBigUInt64BE()),
    );
  return Math.max(0, ...counts);
}

const [, , directory] = process.argv;
if (import.meta.main && directory !== undefined) await work(directory);
