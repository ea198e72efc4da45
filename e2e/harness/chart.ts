// The chart as Helm renders it, for the sets of values that the tests look at.

import { load, loadAll } from 'js-yaml';
import { chart, helmProgram, operatorName, operatorNamespace } from './installation.ts';
import { type KubeObject, run } from './kubectl.ts';

/** What a template gave. */
export interface Rendered extends KubeObject {
  readonly kind: string;
  readonly [field: string]: unknown;
}

/** Sets of values: what nobody says, what one namespace needs, and all that can be said. */
export const valueSets: { readonly [name: string]: object } = {
  defaults: {},
  namespaced: { watchNamespaces: ['shop', 'lab'], crds: { enabled: false } },
  everything: {
    replicaCount: 3,
    image: { repository: 'example.io/etl/operator', digest: `sha256:${'a'.repeat(64)}` },
    imagePullSecrets: [{ name: 'registry' }],
    router: { image: { repository: 'example.io/etl/router', tag: '1.2.3' } },
    logLevel: 'debug',
    serviceAccount: { name: 'runner', annotations: { 'example.io/role': 'etl' } },
    resources: { requests: { cpu: '1', memory: '1Gi' }, limits: { memory: '1Gi' } },
    podLabels: { team: 'data' },
    podAnnotations: { 'example.io/note': 'yes' },
    podSecurityContext: { runAsUser: null, runAsGroup: null },
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    tolerations: [{ key: 'infra', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    topologySpreadConstraints: [
      { maxSkew: 1, topologyKey: 'rack', whenUnsatisfiable: 'DoNotSchedule', labelSelector: {} },
    ],
    priorityClassName: 'system-cluster-critical',
    extraEnv: [{ name: 'ETL_FAILPOINT', value: 'before-finalizer' }],
    podDisruptionBudget: { maxUnavailable: '50%' },
    networkPolicy: {
      metricsFrom: [{ namespaceSelector: { matchLabels: { name: 'monitoring' } } }],
      apiServerPorts: [8443],
      routerNamespaces: ['shop'],
      routersFrom: [{ podSelector: { matchLabels: { app: 'orders' } } }],
    },
    metrics: {
      serviceMonitor: { enabled: true, interval: '15s', labels: { release: 'prometheus' } },
      podMonitor: { enabled: true },
      rules: { enabled: true, labels: { release: 'prometheus' } },
    },
  },
  nothing: {
    replicaCount: 1,
    crds: { enabled: false },
    rbac: { create: false, sharedRoles: false },
    serviceAccount: { create: false, name: 'theirs' },
    networkPolicy: { enabled: false },
    podDisruptionBudget: { enabled: false },
  },
};

/** The text that Helm renders with these values. */
export function render(values: object, kubeVersion = '1.34.0'): Promise<string> {
  const args = ['template', operatorName, chart, '-n', operatorNamespace, '--values', '-'];
  return run(helmProgram, [...args, '--kube-version', kubeVersion], {
    input: JSON.stringify(values),
  });
}

/** The objects of a rendered text. */
export function objectsOf(text: string): readonly Rendered[] {
  return loadAll(text).filter(
    (object): object is Rendered => object !== null && object !== undefined,
  );
}

/** A file of YAML. */
export function readYamlText(text: string): unknown {
  return load(text);
}
