// Helm 4 takes over a release of Helm 3, installs one of its own and gives it back. Helm 4 applies on the server what it
// installed itself, so whoever owned a field before is asked; nothing of the chart may be in the way of that.

import assert from 'node:assert/strict';
import {
  chartWith,
  helm,
  install,
  operatorIsUp,
  operatorName,
  operatorNamespace,
} from './harness/installation.ts';
import { run as start } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';

scenario(
  'chart-helm-4',
  'Helm 4 takes a release over, makes one, and gives it back',
  async (run) => {
    const built = await start('e2e/cluster/cluster.sh', ['helm4'], { timeoutMs: 1_200_000 });
    const helm4 = built.trim();
    const where = ['-n', operatorNamespace, '--wait', '--timeout', '3m'];
    const with4 = async (verb: string, ...args: readonly string[]): Promise<void> => {
      await start(helm4, [verb, operatorName, ...args, ...where], { timeoutMs: 300_000 });
      if (verb !== 'uninstall') await operatorIsUp();
    };
    const cluster = await RouterCluster.apply(run.namespace, 'main', { replicas: 1 });
    const { clusterID } = await cluster.ready();
    const before = await cluster.runs();

    try {
      await run.step(
        'Helm 4 upgrades the release of Helm 3, twice, and rolls it back',
        async () => {
          await with4('upgrade', ...chartWith({ logLevel: 'debug' }));
          await with4('upgrade', ...chartWith({ replicaCount: 1 }));
          await with4('rollback');
        },
      );
      await run.step('from then on it applies on the server', async () => {
        await with4('upgrade', ...chartWith({ logLevel: 'debug' }), '--server-side=true');
      });
      await run.step('it uninstalls', () => with4('uninstall'));
      await run.step('it installs anew, upgrades and rolls back', async () => {
        await with4('install', ...chartWith());
        await with4('upgrade', ...chartWith({ replicaCount: 1 }));
        await with4('rollback');
      });
      await run.step('Helm 3 goes on', async () => {
        await install();
        await helm(['rollback', operatorName, ...where]);
      });
    } finally {
      // Whoever comes next needs the operator too.
      await run.step('installed by Helm 3 again', async () => {
        await install();
        await operatorIsUp();
      });
    }
    await cluster.isStill(clusterID);
    assert.deepEqual(await cluster.runs(), before, 'the router was not touched');
  },
  { timeoutMs: 1_800_000 },
);
