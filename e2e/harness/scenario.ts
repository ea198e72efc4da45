// A scenario is a test with a namespace of its own, which enforces the restricted Pod Security Standard. Nothing is left
// of it but, when it fails, what the cluster looked like; E2E_KEEP=1 keeps the namespace of a failed one.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { timed } from './eventually.ts';
import { operatorNamespace } from './installation.ts';
import { apply, kubectl, root } from './kubectl.ts';
import type { Phase, Verdict } from './writer.ts';

export const reports: string = join(root, 'dist', 'e2e');

export interface Scenario {
  readonly namespace: string;
  /** A part of the scenario; its time is told. */
  step<T>(name: string, act: () => Promise<T>): Promise<T>;
  /** A figure for the report. */
  note(name: string, value: unknown): void;
  /** What a writer saw in a phase. */
  gap(name: string, phase: Phase | Verdict): void;
}

export interface ScenarioOptions {
  readonly timeoutMs?: number;
}

/** Runs `body` in a new namespace called after `id`. */
export function scenario(
  id: string,
  claim: string,
  body: (scenario: Scenario) => Promise<void>,
  { timeoutMs = 600_000 }: ScenarioOptions = {},
): void {
  void test(`${id}: ${claim}`, { timeout: timeoutMs }, async () => {
    const namespace = `e2e-${id}`;
    const figures: { [name: string]: unknown } = {};
    await removeNamespace(namespace);
    await makeNamespace(namespace);
    try {
      await body({
        namespace,
        async step(name, act) {
          const { value, tookMs } = await timed(act);
          figures[name] = `${tookMs} ms`;
          tell(`${id}: ${name}: ${(tookMs / 1000).toFixed(1)} s`);
          return value;
        },
        note(name, value) {
          figures[name] = value;
          tell(`${id}: ${name}: ${JSON.stringify(value)}`);
        },
        gap(name, { answered, failed, longestGapMs, gapEndedAt, errors, ...rest }) {
          const lost = 'lostCount' in rest ? { lost: rest.lostCount, total: rest.total } : {};
          const told =
            'lost' in lost ? `${lost.total} answered, ${lost.lost} lost` : `${answered} writes`;
          figures[`${name}: writes`] = {
            ...{ answered, failed, longestGapMs, gapEndedAt, ...lost, errors },
          };
          tell(`${id}: ${name}: ${told}, ${failed} failed, gap ${longestGapMs} ms`);
        },
      });
    } catch (error) {
      tell(`${id}: failed: ${(error as Error).message}`);
      await keepEvidence(id, namespace).catch(() => {});
      if (process.env['E2E_KEEP'] === undefined)
        await kubectl(['delete', 'namespace', namespace, '--wait=false']).catch(() => {});
      throw error;
    } finally {
      await mkdir(reports, { recursive: true });
      await writeFile(join(reports, `${id}.json`), `${JSON.stringify(figures, undefined, 2)}\n`);
    }
    await removeNamespace(namespace);
  });
}

export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

export async function makeNamespace(
  name: string,
  labels: { readonly [name: string]: string } = {},
): Promise<void> {
  const enforce = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await apply({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { ...enforce, ...labels } },
  });
}

/** Deletes it and waits, as its end is part of what is tested: nothing of ours may hold it up. */
export async function removeNamespace(name: string): Promise<void> {
  const args = ['delete', 'namespace', name, '--ignore-not-found', '--wait', '--timeout=150s'];
  await kubectl(args, { timeoutMs: 170_000 });
}

/** Objects, events and logs, in dist/e2e/<id>/. */
async function keepEvidence(id: string, namespace: string): Promise<void> {
  const folder = join(reports, id);
  await mkdir(folder, { recursive: true });
  const what = 'erc,sts,pod,pvc,pdb,svc,endpointslice';
  const looks: { readonly [file: string]: readonly string[] } = {
    'objects.txt': ['get', what, '-n', namespace, '-o', 'wide'],
    'objects.yaml': ['get', what, '-n', namespace, '-o', 'yaml'],
    'events.txt': ['get', 'events', '-n', namespace, '--sort-by=.lastTimestamp'],
    'nodes.txt': ['get', 'nodes,pv', '-o', 'wide'],
    'operator.log': [
      'logs',
      '-n',
      operatorNamespace,
      '-l',
      'app.kubernetes.io/name=etl-operator',
      '--tail=3000',
      '--prefix',
    ],
    'routers.log': [
      'logs',
      '-n',
      namespace,
      '-l',
      'app.kubernetes.io/component=router',
      '--tail=1500',
      '--prefix',
      '--max-log-requests=9',
    ],
  };
  for (const [file, args] of Object.entries(looks)) {
    const text = await kubectl(args).catch((error: Error) => error.message);
    await writeFile(join(folder, file), text);
  }
  tell(`${id}: what the cluster looked like is in ${folder}`);
}
