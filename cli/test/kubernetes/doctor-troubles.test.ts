// What doctor says of a Kubernetes in which one thing is wrong, and what to do about it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { examine } from './examine.ts';
import {
  claim,
  claimPath,
  definitionPath,
  deployment,
  deploymentPath,
  lease,
  leasePath,
  startInstalled,
} from './installation.ts';
import type { FakeKubernetes, Fields } from './kubernetes.ts';
import {
  cluster,
  clusterPath,
  conditions,
  deleted,
  pod,
  podPath,
  router,
  withCondition,
} from './shop.ts';

interface Case {
  readonly change: (kubernetes: FakeKubernetes) => void;
  readonly name: string;
  readonly level: 'warn' | 'fail';
  readonly says: RegExp;
  readonly advises?: RegExp;
}

const put =
  (path: string, object: Fields) =>
  (kubernetes: FakeKubernetes): void =>
    kubernetes.put(path, object);

const cases: { readonly [what: string]: Case } = {
  'an old Kubernetes': {
    change: put('/version', { gitVersion: 'v1.28.0', minor: '28+' }),
    name: 'api-server',
    level: 'fail',
    says: /v1\.28\.0/,
  },
  'a clock that is half a minute off': {
    change: (kubernetes) => {
      kubernetes.nowMs += 30_000;
    },
    name: 'clock',
    level: 'warn',
    says: /30 s behind the API server/,
  },
  'a clock that is an hour off': {
    change: (kubernetes) => {
      kubernetes.nowMs -= 3_600_000;
      kubernetes.put(leasePath, lease('2025-12-31T22:59:55Z'));
    },
    name: 'clock',
    level: 'fail',
    says: /3600 s ahead of the API server/,
  },
  'a kind that is missing': {
    change: put('/apis/etl.router/v1', { resources: [{ kind: 'EtlRouterCluster' }] }),
    name: 'kinds',
    level: 'fail',
    says: /lacks EtlPipeline, EtlSource, EtlTransform, EtlSink/,
  },
  'kinds of two releases': {
    change: put(definitionPath('EtlSink'), {
      metadata: { labels: { 'app.kubernetes.io/version': '0.0.9' } },
      status: {},
    }),
    name: 'kinds',
    level: 'warn',
    says: /releases 0\.1\.0 and 0\.0\.9/,
  },
  'no operator': {
    change: ({ objects }) => objects.delete(deploymentPath),
    name: 'operator',
    level: 'fail',
    says: /no Deployment of the operator/,
  },
  'an operator that was scaled away': {
    change: put(deploymentPath, deployment(0, 0)),
    name: 'operator',
    level: 'fail',
    says: /scaled to 0/,
  },
  'an operator of which no pod is ready': {
    change: put(deploymentPath, deployment(0)),
    name: 'operator',
    level: 'fail',
    says: /0 of 2 ready/,
  },
  'a lease that nobody renews': {
    change: put(leasePath, lease('2025-12-31T23:58:00Z')),
    name: 'operator lease',
    level: 'fail',
    says: /has not renewed the lease etl-system\/etl-operator for 120 s/,
  },
  'a lease that nobody holds': {
    change: put(leasePath, lease('2025-12-31T23:59:59Z', '')),
    name: 'operator lease',
    level: 'fail',
    says: /nobody holds the lease/,
  },
  'a cluster that the operator never looked at': {
    change: put(clusterPath, { ...cluster(), status: {} }),
    name: 'shop/main',
    level: 'warn',
    says: /has not looked at it yet/,
  },
  'a quorum that is lost': {
    change: put(clusterPath, withCondition('Available', 'False', 'QuorumLost')),
    name: 'shop/main',
    level: 'fail',
    says: /Available=False QuorumLost: because/,
  },
  'nobody who leads, as the operator sees it': {
    change: put(
      clusterPath,
      cluster('main', {
        conditions: conditions.map((each) =>
          each['type'] === 'Ready' || each['type'] === 'Available'
            ? { ...each, status: 'False', reason: 'NoLeader', message: 'because' }
            : each,
        ),
      }),
    ),
    name: 'shop/main',
    level: 'fail',
    says: /Available=False NoLeader: because/,
  },
  'a spec that is wrong': {
    change: put(clusterPath, withCondition('Accepted', 'False', 'Invalid')),
    name: 'shop/main',
    level: 'fail',
    says: /Accepted=False Invalid/,
  },
  'an operator that may not act': {
    change: put(clusterPath, withCondition('Degraded', 'True', 'ActFails')),
    name: 'shop/main',
    level: 'warn',
    says: /Degraded=True ActFails/,
  },
  'a pause': {
    change: put(clusterPath, withCondition('ReconciliationPaused', 'True', 'Paused')),
    name: 'shop/main',
    level: 'warn',
    says: /ReconciliationPaused=True/,
  },
  'a cluster that changes': {
    change: put(clusterPath, withCondition('Ready', 'False', 'Changing')),
    name: 'shop/main',
    level: 'warn',
    says: /because/,
  },
  'an operation that goes on and on': {
    change: put(
      clusterPath,
      cluster('main', {
        operation: {
          ...{ type: 'rollout', phase: 'restart', target: 'main-3', attempt: 9 },
          startedAt: '2025-12-31T22:00:00Z',
        },
      }),
    ),
    name: 'shop/main',
    level: 'warn',
    says: /rollout main-3 \(restart, attempt 9\) goes on since 2025-12-31T22:00:00Z/,
  },
  'an image that is not there': {
    change: put(
      podPath('main-3'),
      pod(
        3,
        {
          containerStatuses: [
            { name: 'router', state: { waiting: { reason: 'ImagePullBackOff', message: 'no' } } },
          ],
        },
        false,
      ),
    ),
    name: 'shop/main pods',
    level: 'warn',
    says: /main-3 waits: ImagePullBackOff, no/,
  },
  'a pod that no node takes': {
    change: put(
      podPath('main-3'),
      pod(
        3,
        {
          phase: 'Pending',
          conditions: [{ type: 'PodScheduled', status: 'False', message: 'full' }],
        },
        false,
      ),
    ),
    name: 'shop/main pods',
    level: 'warn',
    says: /main-3 has no node: full/,
  },
  'a majority without pods': {
    change: ({ objects }) => {
      objects.delete(podPath('main-1'));
      objects.delete(podPath('main-3'));
    },
    name: 'shop/main pods',
    level: 'fail',
    says: /1 of 3 pods are there/,
  },
  'a pod that ends again and again': {
    change: put(
      podPath('main-1'),
      pod(1, {
        containerStatuses: [
          {
            ...{ name: 'router', ready: true, restartCount: 7 },
            lastState: { terminated: { exitCode: 65, reason: 'Error' } },
          },
        ],
      }),
    ),
    name: 'shop/main pods',
    level: 'warn',
    says: /restarted 7 times, last after Error \(exit code 65\)/,
  },
  'two members on one node': {
    change: put(podPath('main-1'), { ...pod(1), spec: { nodeName: 'node-2' } }),
    name: 'shop/main pods',
    level: 'warn',
    says: /2 of 3 members are on node node-2/,
  },
  'a claim that waits for a volume': {
    change: put(claimPath('data-main-2'), claim('data-main-2', { phase: 'Pending' })),
    name: 'shop/main volumes',
    level: 'warn',
    says: /data-main-2 is Pending/,
  },
  'a claim that somebody deleted': {
    change: put(claimPath('data-main-2'), deleted(claim('data-main-2', { phase: 'Bound' }))),
    name: 'shop/main volumes',
    level: 'warn',
    says: /data-main-2 is being deleted/,
    advises: /^do not delete its pod/,
  },
  'a claim without its volume': {
    change: put(claimPath('data-main-2'), claim('data-main-2', { phase: 'Lost' })),
    name: 'shop/main volumes',
    level: 'fail',
    says: /data-main-2 lost its volume/,
  },
  'a volume that is too small yet': {
    change: put(claimPath('data-main-2'), claim('data-main-2', { capacity: { storage: '512Mi' } })),
    name: 'shop/main volumes',
    level: 'warn',
    says: /data-main-2 has 512Mi and is to have 1Gi/,
  },
  'a certificate that has expired': {
    change: put(
      clusterPath,
      cluster('main', { serverCertificateNotAfter: '2025-12-31T12:00:00Z' }),
    ),
    name: 'shop/main certificates',
    level: 'fail',
    says: /a certificate of a member has expired, 2025-12-31T12:00/,
  },
  'a certificate that nobody renews': {
    change: put(
      clusterPath,
      cluster('main', { serverCertificateNotAfter: '2026-01-10T00:00:00Z' }),
    ),
    name: 'shop/main certificates',
    level: 'warn',
    says: /ends 2026-01-10T00:00 and is not renewed/,
  },
  'a router where nobody listens': {
    change: ({ routers }) => routers.delete('main-3'),
    name: 'shop/main routers',
    level: 'fail',
    says: /main-3 does not take connections/,
    advises: /^kubectl logs main-3 -n shop; /,
  },
  'a volume of another cluster': {
    change: ({ routers }) => routers.set('main-3', router(3, { clusterId: 'c-9' })),
    name: 'shop/main routers',
    level: 'fail',
    says: /main-3 is of cluster c-9, not c-1/,
    advises: /"When a volume is of another cluster"$/,
  },
  'nobody who leads': {
    change: ({ routers }) => {
      for (const ordinal of [1, 2, 3])
        routers.set(`main-${ordinal}`, router(ordinal, { leaderId: null, role: 'CANDIDATE' }));
    },
    name: 'shop/main routers',
    level: 'fail',
    says: /no member knows a leader/,
    advises: /port 50052 .*: a majority is there$/,
  },
  'nobody who leads, and who answers has no vote': {
    change: ({ routers }) => {
      routers.set('main-1', router(1, { leaderId: null, role: 'CANDIDATE' }));
      routers.set('main-2', router(2, { leaderId: null, role: 'LEARNER' }));
      routers.set('main-3', router(3, { leaderId: null, clusterId: 'c-9' }));
    },
    name: 'shop/main routers',
    level: 'fail',
    says: /no member knows a leader/,
    advises: /only if a majority is gone for good/,
  },
  'nobody who leads, and most are away': {
    change: ({ routers }) => {
      routers.set('main-1', router(1, { leaderId: null, role: 'CANDIDATE' }));
      for (const ordinal of [2, 3]) routers.delete(`main-${ordinal}`);
    },
    name: 'shop/main routers',
    level: 'fail',
    says: /no member knows a leader/,
    advises:
      /^.*bring back those that do not answer, .*only if a majority is gone for good: .*"When a majority is lost"/,
  },
  'a router that was removed': {
    change: ({ routers }) =>
      routers.set('main-3', router(3, { leaderId: null, raftId: '907', health: 'UNHEALTHY' })),
    name: 'shop/main routers',
    level: 'warn',
    says: /^router 3 \(id 907\) is no member of cluster c-1: it was removed, or is not added yet$/,
  },
  'a member that is cut off': {
    change: ({ routers }) => routers.set('main-3', router(3, { leaderId: '1' })),
    name: 'shop/main routers',
    level: 'warn',
    says: /members name different leaders: 2, 1/,
  },
  'members of two versions': {
    change: ({ routers }) => routers.set('main-3', router(3, {}, '0.2.0')),
    name: 'shop/main routers versions',
    level: 'warn',
    says: /members run 0\.1\.0 and 0\.2\.0/,
  },
};

for (const [what, { change, name, level, says, advises = /.{10}/ }] of Object.entries(cases)) {
  test(`${what} is a ${level === 'fail' ? 'failure' : 'warning'} with what to do`, async (t) => {
    const kubernetes = await startInstalled(t);
    change(kubernetes);
    const report = await examine(kubernetes);
    const check = report.checks.find((each) => each.name === name);
    assert.equal(check?.level, level);
    assert.match(check?.message ?? '', says);
    assert.match(check?.advice ?? '', advises);
    const failed = report.checks.some((each) => each.level === 'fail');
    assert.deepEqual([report.code, report.ok], failed ? [1, false] : [0, true]);
  });
}
