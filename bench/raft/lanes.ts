// Lanes for the batches of our side, got as a sidecar gets them: it registers, is given a pipeline, and opens lanes.

import { setTimeout as wait } from 'node:timers/promises';
import { RouterAdmin } from '@etl-router/proto/admin';
import { createClient } from '@etl-router/proto/grpc';
import { SidecarCoordinator } from '@etl-router/proto/sidecar';
import { credentials } from '@grpc/grpc-js';
import { batchSlots, batchWrites } from './cluster.ts';

/** The lanes' pipeline and source. */
export const laneNames = { pipeline: 'bench/lanes', source: 'in' } as const;

const manifests = [
  `apiVersion: etl.router/v1
kind: EtlSource
metadata: { name: in, namespace: bench }
spec: { file: { path: in.jsonl, format: jsonl } }`,
  `apiVersion: etl.router/v1
kind: EtlSink
metadata: { name: out, namespace: bench }
spec: { file: { path: out.jsonl, format: jsonl } }`,
  `apiVersion: etl.router/v1
kind: EtlPipeline
metadata: { name: lanes, namespace: bench }
spec:
  stages:
    - { name: in, sourceRef: { name: in } }
    - { name: out, sinkRef: { name: out } }
  edges: [{ from: in, to: out }]`,
];
const sidecar = { sidecarId: 'bench/sidecar', namespace: 'bench', connectors: ['file'] };
const leaseTtlMs = 3_600_000;
const assignedWithinMs = 30_000;

/** Name of a lane, the same for etcd's keys. */
export function laneOf(slot: number, at: number): string {
  return `lane-${String(slot * batchWrites + at).padStart(7, '0')}`;
}

/** Opens the lanes of all slots at the member that leads; returns the epoch that they all get. */
export async function openLanes(leaderAddress: string): Promise<bigint> {
  const admin = createClient(RouterAdmin, leaderAddress, credentials.createInsecure());
  const coordinator = createClient(SidecarCoordinator, leaderAddress, credentials.createInsecure());
  try {
    await coordinator.registerSidecar({ sidecar, leaseTtlMs });
    for (const manifest of manifests) await admin.applyObject({ manifest });
    const { sidecarId } = sidecar;
    const { pipeline } = laneNames;
    const { registrationId, planVersion } = await untilAssigned(async () => {
      const registered = await coordinator.registerSidecar({ sidecar, leaseTtlMs });
      const found = registered.assignments.find((each) => each.pipeline === pipeline);
      return found && { ...registered, planVersion: found.planVersion };
    });
    const lanes = Array.from({ length: batchSlots }, (_, slot) =>
      Array.from({ length: batchWrites }, (__, at) => ({
        ...{ source: laneNames.source, partition: laneOf(slot, at) },
      })),
    ).flat();
    const opened = await coordinator.openLanes({
      ...{ sidecarId, registrationId, pipeline, planVersion, lanes },
    });
    return opened.lanes[0]?.epoch ?? 0n;
  } finally {
    admin.close();
    coordinator.close();
  }
}

async function untilAssigned<Plan>(ask: () => Promise<Plan | undefined>): Promise<Plan> {
  const startMs = performance.now();
  while (performance.now() - startMs < assignedWithinMs) {
    const plan = await ask();
    if (plan !== undefined) return plan;
    await wait(100);
  }
  throw new Error(`${laneNames.pipeline} is not assigned after ${assignedWithinMs} ms`);
}
