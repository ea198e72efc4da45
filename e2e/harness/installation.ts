// The operator, installed by its chart as a user does.

import { join } from 'node:path';
import process from 'node:process';
import { eventually } from './eventually.ts';
import { repository, tags } from './images.ts';
import { get, type KubeObject, kubectl, list, root, run } from './kubectl.ts';

export const operatorNamespace = 'etl-system';
export const operatorName = 'etl-operator';
export const chart: string = join(root, 'charts', 'etl-operator');

/** Helm 3, which the local cluster has built, or the program that ETL_HELM names. */
export const helmProgram: string = process.env['ETL_HELM'] ?? 'helm';

/** helm, the release of the operator. */
export function helm(args: readonly string[], timeoutMs = 300_000): Promise<string> {
  return run(helmProgram, args, { timeoutMs });
}

/** Installs or upgrades and waits for both replicas. */
export async function install(values: Values = {}): Promise<void> {
  const where = ['-n', operatorNamespace, '--create-namespace', '--wait', '--timeout', '3m'];
  await helm(['upgrade', '--install', operatorName, ...chartWith(values), ...where]);
}

/** Values by their path. */
export type Values = { readonly [path: string]: string | number | boolean };

/** The chart and the values that say which images are under test, as helm takes them. */
export function chartWith(values: Values = {}): readonly string[] {
  const given = {
    'image.repository': `${repository}/operator`,
    'image.tag': tags().operator,
    'router.image.repository': `${repository}/router`,
    'router.image.tag': tags().router,
    ...values,
  };
  const set = Object.entries(given).flatMap(([path, value]) => [
    '--set-json',
    `${path}=${JSON.stringify(value)}`,
  ]);
  return [chart, ...set];
}

interface Deployment extends KubeObject {
  readonly spec: { readonly replicas: number };
  readonly status: { readonly readyReplicas?: number; readonly updatedReplicas?: number };
}

export async function operatorIsUp(): Promise<void> {
  await eventually('the operator is up', async () => {
    const { spec, status } = await get<Deployment>('deployment', operatorName, operatorNamespace);
    return status.readyReplicas === spec.replicas && status.updatedReplicas === spec.replicas;
  });
}

/** Drains may have left both replicas on one node, and nothing moves them apart: they are made anew then. */
export async function operatorIsSpread(): Promise<void> {
  const nodes = async (): Promise<number> => {
    const pods = (await operatorPods()) as readonly (KubeObject & {
      readonly spec: { readonly nodeName?: string };
    })[];
    return new Set(pods.map(({ spec }) => spec.nodeName)).size;
  };
  if ((await nodes()) > 1) return;
  const deployment = [`deployment/${operatorName}`, '-n', operatorNamespace];
  await kubectl(['rollout', 'restart', ...deployment]);
  await kubectl(['rollout', 'status', ...deployment, '--timeout=100s'], { timeoutMs: 110_000 });
  await eventually(
    'the replicas of the operator are on two nodes',
    async () => (await nodes()) > 1,
  );
}

/** `act` while there is no operator, which is started anew however it ends. */
export async function withoutOperator(act: () => Promise<void>): Promise<void> {
  const scale = (replicas: number): Promise<string> =>
    kubectl([
      'scale',
      'deployment',
      operatorName,
      '-n',
      operatorNamespace,
      `--replicas=${replicas}`,
    ]);
  await scale(0);
  try {
    await eventually('no operator is there', async () => (await operatorPods()).length === 0);
    await act();
  } finally {
    await scale(2);
    await operatorIsUp();
  }
}

export function operatorPods(): Promise<readonly KubeObject[]> {
  return list('pods', operatorNamespace, `app.kubernetes.io/name=${operatorName}`);
}

interface Lease extends KubeObject {
  readonly spec: { readonly holderIdentity?: string; readonly leaseTransitions?: number };
}

/** Name of the operator's pod that leads. */
export async function leadingOperator(): Promise<string> {
  return eventually('an operator leads', async () => {
    const { spec } = await get<Lease>('lease', operatorName, operatorNamespace);
    const pods = await operatorPods();
    return pods
      .map(({ metadata }) => metadata.name)
      .find((name) => spec.holderIdentity?.startsWith(name) === true);
  });
}

/** Sets variables of the operator and waits until all its pods have them; a dash at the end takes one away. */
export async function setOperatorEnv(...pairs: readonly string[]): Promise<void> {
  await kubectl(['set', 'env', `deployment/${operatorName}`, '-n', operatorNamespace, ...pairs]);
  const args = ['rollout', 'status', `deployment/${operatorName}`, '-n', operatorNamespace];
  await kubectl([...args, '--timeout=120s'], { timeoutMs: 130_000 });
}
