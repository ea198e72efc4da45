// Certificates are replaced while writes go on and no pod is restarted; those that have ended are replaced without a hand.

import assert from 'node:assert/strict';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import { systemClock } from '@etl-router/core';
import { always, eventually } from './harness/eventually.ts';
import { expire } from './harness/expired.ts';
import { assertGap } from './harness/gaps.ts';
import { forward } from './harness/graphql.ts';
import { withoutOperator } from './harness/installation.ts';
import { get, type KubeObject, kubectl } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

interface ConfigMap extends KubeObject {
  readonly data: { readonly [key: string]: string };
}

/** What a pod shows to who calls its gRPC port, also to one that it then sends away. */
async function shownBy(namespace: string, pod: string): Promise<DetailedPeerCertificate> {
  const { port, close } = await forward(namespace, `pod/${pod}`, 50_051);
  try {
    return await new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2'] };
      const socket = connect(options, () => {
        resolve(socket.getPeerCertificate(true));
        socket.destroy();
      });
      socket.on('error', reject);
      socket.setTimeout(10_000, () => socket.destroy(new Error(`${pod} shows no certificate`)));
    });
  } finally {
    close();
  }
}

const shownByAll = (cluster: RouterCluster): Promise<readonly DetailedPeerCertificate[]> =>
  Promise.all([1, 2, 3].map((at) => shownBy(cluster.namespace, `${cluster.name}-${at}`)));

async function bundle({ namespace, name }: RouterCluster): Promise<readonly string[]> {
  const { data } = await get<ConfigMap>('configmap', `${name}-ca`, namespace);
  return data['ca.crt']?.match(/-----BEGIN CERTIFICATE-----/g) ?? [];
}

/** Whether a member ended because its certificate has: it shows none, and says why in its log, of this run or the last. */
async function saysThatItEnded({ namespace }: RouterCluster, pod: string): Promise<boolean> {
  const args = ['logs', pod, '-n', namespace, '-c', 'router'];
  const runs = [args, [...args, '--previous']].map((each) => kubectl(each).catch(() => ''));
  return (await Promise.all(runs)).some((text) => /would refuse it: it expired at/.test(text));
}

scenario(
  'certificates',
  'certificates and their authority are replaced under load',
  async (run) => {
    const tls = { certificateDuration: '1h', renewBefore: '20m', authorityDuration: '24h' };
    const cluster = await RouterCluster.apply(run.namespace, 'main', { replicas: 3, tls });
    const { clusterID } = await cluster.ready();
    const writer = await Writer.start({ namespace: run.namespace, cluster: 'main' });
    const before = await cluster.runs();
    const old = await shownByAll(cluster);

    await cluster.patch({
      tls: { certificateDuration: '2160h', renewBefore: '720h', authorityDuration: '8760h' },
    });
    await run.step('every member shows a new certificate', () =>
      eventually(
        'every member shows a new certificate',
        async () => {
          const now = await shownByAll(cluster);
          return now.every(({ serialNumber }, at) => serialNumber !== old[at]?.serialNumber);
        },
        { timeoutMs: 300_000, everyMs: 5000 },
      ),
    );
    const renewed = await writer.phase();
    run.gap('certificates', renewed);
    assertGap(renewed, 'planned');

    await run.step('a new authority signs, and the old one is believed no more', () =>
      eventually(
        'the bundle holds one authority, which signed what members show',
        async () => {
          const now = await shownByAll(cluster);
          const isNew = now.every(({ issuer }, at) => issuer.CN !== old[at]?.issuer.CN);
          return isNew && (await bundle(cluster)).length === 1;
        },
        { timeoutMs: 1_500_000, everyMs: 5000 },
      ),
    );
    await cluster.ready();
    const phase = await writer.phase();
    run.gap('authority', phase);
    assertGap(phase, 'planned');
    assert.deepEqual(await cluster.runs(), before, 'no pod was restarted');
    run.gap('all', await writer.finish());
    await cluster.isStill(clusterID);
  },
  { timeoutMs: 2_100_000 },
);

scenario(
  'certificates-expired',
  'who starts with certificates that have ended is helped',
  async (run) => {
    const { namespace } = run;
    const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
    const { clusterID } = await cluster.ready();
    const first = await Writer.start({ namespace, cluster: 'main', name: 'first' });
    const readySince = async (): Promise<string | undefined> =>
      (await cluster.status()).conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime;
    const since = await readySince();
    await withoutOperator(async () => {
      await expire(namespace, 'main');
      const pods = await cluster.pods();
      await cluster.deletePods(...pods.map(({ metadata }) => metadata.name));
      await eventually('all started anew', async () => {
        const now = await cluster.pods();
        const old = new Set(pods.map(({ metadata }) => metadata.uid));
        return (
          now.length === 3 &&
          now.every(({ metadata, status }) => !old.has(metadata.uid) && status.phase === 'Running')
        );
      });
      await run.step('every member says that its certificate has ended', () =>
        eventually('every member says that its certificate has ended', async () => {
          const names = (await cluster.pods()).map(({ metadata }) => metadata.name);
          const said = await Promise.all(names.map((name) => saysThatItEnded(cluster, name)));
          return said.length === 3 && said.every(Boolean);
        }),
      );
      const { total } = await first.stats();
      await always('no write is answered', async () => {
        const now = (await first.stats()).total;
        return now === total ? undefined : `${now - total} were`;
      });
      assert.equal(await readySince(), since, 'the status is that of before');
    });
    await run.step('ready again', async () => {
      // Nobody wrote the status meanwhile: that it says ready counts only after it said otherwise.
      await eventually('another word of the operator', async () => (await readySince()) !== since);
      await cluster.ready(400_000);
    });
    await cluster.is('CertificatesReady', 'True');
    const shown = await eventually('all show a certificate', () => shownByAll(cluster));
    for (const { valid_to } of shown)
      assert.ok(Date.parse(valid_to) > systemClock.wallMs(), `one ends ${valid_to}`);
    await cluster.isStill(clusterID);
    await first.isAnswered();
    run.gap('while they had ended', await first.finish());
    const second = await Writer.start({ namespace, cluster: 'main', name: 'second' });
    run.gap('after', await second.finish());
  },
  { timeoutMs: 900_000 },
);
