// Scripts that run in pods of their own, with the Node of the router's image, as clients inside of a cluster do.

import { readFileSync } from 'node:fs';
import { eventually } from './eventually.ts';
import { routerImage } from './images.ts';
import { apply, kubectl } from './kubectl.ts';

/** Passes the restricted Pod Security Standard. */
const restricted = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  runAsNonRoot: true,
  runAsUser: 65_532,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

export interface ScriptPod {
  readonly namespace: string;
  readonly name: string;
  /** File in harness/pod/. */
  readonly script: string;
  readonly env: { readonly [name: string]: string };
  /** Left out: the pod has no token. */
  readonly serviceAccount?: string;
  /** Node that it runs on; left out: any. */
  readonly node?: string | undefined;
}

/** Creates the pod and does not wait for it. */
export async function startScript(pod: ScriptPod): Promise<void> {
  const { namespace, name, script } = pod;
  const text = readFileSync(new URL(`pod/${script}`, import.meta.url), 'utf8');
  const metadata = { name, namespace };
  await apply(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'main.mjs': text } },
    { apiVersion: 'v1', kind: 'Pod', metadata, spec: specOf(pod) },
  );
}

/** Runs the script to its end and answers what it printed last, which is JSON. */
export async function runScript<T>(pod: ScriptPod): Promise<T> {
  const { namespace, name } = pod;
  await startScript(pod);
  const phase = await eventually(`${name} ends`, async () => {
    const path = ['get', 'pod', name, '-n', namespace, '-o', 'jsonpath={.status.phase}'];
    const now = await kubectl(path);
    return now === 'Succeeded' || now === 'Failed' ? now : undefined;
  });
  const text = await kubectl(['logs', name, '-n', namespace]);
  if (phase === 'Failed') throw new Error(`${name}: ${text}`);
  return JSON.parse(text.trim().split('\n').at(-1) ?? '') as T;
}

function specOf({ name, env, serviceAccount, node }: ScriptPod): object {
  return {
    ...(serviceAccount === undefined
      ? { automountServiceAccountToken: false }
      : { serviceAccountName: serviceAccount }),
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: 1,
    ...(node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': node } }),
    containers: [
      {
        name: 'script',
        image: routerImage(),
        command: ['/usr/local/bin/node', '/script/main.mjs'],
        env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
        resources: { requests: { cpu: '50m', memory: '64Mi' } },
        securityContext: restricted,
        volumeMounts: [{ name: 'script', mountPath: '/script', readOnly: true }],
      },
    ],
    volumes: [{ name: 'script', configMap: { name } }],
  };
}
