// A hundred clusters are declared on nodes that take no pods: what that costs the operator.

import assert from 'node:assert/strict';
import { sleep, systemClock } from '@etl-router/core';
import { eventually, timed } from './harness/eventually.ts';
import { leadingOperator, operatorNamespace } from './harness/installation.ts';
import { apply, kubectl, list } from './harness/kubectl.ts';
import { allNodes, isCordoned } from './harness/nodes.ts';
import { scenario } from './harness/scenario.ts';

const count = 100;

/** What it took for the declarations alone is given back by then. */
const quietMs = 30_000;

async function metricsOf(pod: string): Promise<string> {
  const path = `/api/v1/namespaces/${operatorNamespace}/pods/${pod}:8080/proxy/metrics`;
  return kubectl(['get', '--raw', path]);
}

function valueOf(text: string, name: string): number {
  const line = text.split('\n').find((each) => each.startsWith(name) && !each.startsWith('#'));
  return Number(line?.split(' ').at(-1));
}

/** Upper edge of the bucket that 99 of 100 runs stay below. */
function p99Of(text: string): string {
  const buckets = [
    ...text.matchAll(
      /^controller_runtime_reconcile_time_seconds_bucket\{.*le="([^"]+)".*\} (\d+)/gm,
    ),
  ].map(([, edge = '', value]) => ({ edge, value: Number(value) }));
  const total = buckets.find(({ edge }) => edge === '+Inf')?.value ?? 0;
  return buckets.find(({ value }) => value >= 0.99 * total)?.edge ?? '+Inf';
}

scenario(
  'hundred',
  'a hundred clusters cost the operator little',
  async (run) => {
    const { namespace } = run;
    // What somebody else has cordoned stays so.
    const nodes = (await allNodes())
      .filter((node) => !isCordoned(node))
      .map(({ metadata }) => metadata.name);
    const pod = await leadingOperator();
    const before = valueOf(await metricsOf(pod), 'process_resident_memory_bytes');
    await kubectl(['cordon', ...nodes]);
    try {
      const { tookMs } = await timed(async () => {
        const clusters = Array.from({ length: count }, (_, at) => ({
          apiVersion: 'etl.router/v1',
          kind: 'EtlRouterCluster',
          metadata: { name: `c${at}`, namespace },
          spec: { replicas: 1 },
        }));
        await apply(...clusters);
        await eventually(
          'every cluster has its StatefulSet',
          async () => (await list('sts', namespace)).length === count,
          { timeoutMs: 300_000, everyMs: 2000 },
        );
      });
      run.note('declared', `${tookMs} ms`);
      await sleep(systemClock, quietMs);
      assert.equal(await leadingOperator(), pod, 'it is the same one that is looked at');
      const text = await metricsOf(pod);
      const after = valueOf(text, 'process_resident_memory_bytes');
      const mebibytes = (bytes: number): number => Math.round(bytes / 1024 ** 2);
      run.note('RSS', { beforeMiB: mebibytes(before), afterMiB: mebibytes(after) });
      run.note('reconcile p99', `${p99Of(text)} s`);
      assert.ok(after <= 200 * 1024 ** 2, `${mebibytes(after)} MiB`);
      const each = (after - before) / count;
      assert.ok(each <= 0.4 * 1024 ** 2, `${mebibytes(each)} MiB a cluster`);
    } finally {
      await kubectl(['uncordon', ...nodes]);
    }
    const args = ['delete', 'erc', '--all', '-n', namespace, '--timeout=170s'];
    await run.step('deleted', () => kubectl(args, { timeoutMs: 180_000 }));
  },
  { timeoutMs: 900_000 },
);
