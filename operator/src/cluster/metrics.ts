// What is counted of router clusters, beside what the runtime counts of any operator.

import type { EtlRouterClusterStatus } from '@etl-router/crds';
import { Counter, Gauge, type Registry } from 'prom-client';
import { type ActKind, actKinds } from './step.ts';

export interface ClusterMetrics {
  /** Counts an act. */
  act(kind: Exclude<ActKind, 'record'>, result: 'made' | 'failed'): void;
  /** Counts a call of a router. */
  call(method: string, code: string | undefined): void;
  /** Shows what is known of a cluster. */
  show(key: string, status: EtlRouterClusterStatus): void;
  forget(key: string): void;
}

const conditionTypes: readonly string[] = ['Ready', 'Available', 'Progressing', 'Degraded'];

export function registerClusterMetrics(registry: Registry): ClusterMetrics {
  const registers = [registry];
  const acts = new Counter({
    name: 'etl_operator_cluster_acts_total',
    help: 'Acts on members, pods and volumes, by what they came to.',
    labelNames: ['act', 'result'],
    registers,
  });
  for (const act of actKinds) {
    if (act === 'record') continue;
    for (const result of ['made', 'failed']) acts.inc({ act, result }, 0);
  }
  const calls = new Counter({
    name: 'etl_operator_router_calls_total',
    help: 'Calls of routers, by the code of their answer.',
    labelNames: ['method', 'code'],
    registers,
  });
  const gauge = <L extends string>(name: string, help: string, ...labelNames: L[]): Gauge<L> =>
    new Gauge({ name, help, labelNames, registers });
  const condition = gauge(
    'etl_operator_cluster_condition',
    'Conditions of clusters: 1 true, 0 false, -1 unknown.',
    'namespace',
    'cluster',
    'type',
  );
  const members = gauge(
    'etl_operator_cluster_members',
    'Members that the leader of a cluster tells of.',
    'namespace',
    'cluster',
  );
  const expiry = gauge(
    'etl_operator_certificate_expiry_timestamp_seconds',
    'When the certificate of a cluster ends that ends first.',
    'namespace',
    'cluster',
  );
  return {
    act: (kind, result) => acts.inc({ act: kind, result }),
    call: (method, code) => calls.inc({ method, code: code ?? 'OK' }),
    show(key, status) {
      const labels = labelsOf(key);
      members.set(labels, status.members?.length ?? 0);
      for (const { type, status: is } of status.conditions ?? []) {
        const value = is === 'True' ? 1 : is === 'False' ? 0 : -1;
        if (conditionTypes.includes(type)) condition.set({ ...labels, type }, value);
      }
      const end = status.serverCertificateNotAfter;
      if (end !== undefined) expiry.set(labels, Date.parse(end) / 1000);
    },
    forget(key) {
      const labels = labelsOf(key);
      members.remove(labels);
      expiry.remove(labels);
      for (const type of conditionTypes) condition.remove({ ...labels, type });
    },
  };
}

function labelsOf(key: string): { readonly namespace: string; readonly cluster: string } {
  const [namespace = '', cluster = ''] = key.split('/', 2);
  return { namespace, cluster };
}
