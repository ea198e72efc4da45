// A scenario is a test with a namespace of its own, which enforces the restricted Pod Security Standard. Nothing is left
// of it but, when it fails, what the cluster looked like; E2E_KEEP=1 keeps the namespace of a failed one.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { OutOfTimeError, timed, within } from './eventually.ts';
import { keepEvidence } from './evidence.ts';
import { apply, kubectl, root } from './kubectl.ts';
import type { Phase, Verdict } from './writer.ts';

export const reports: string = join(root, 'dist', 'e2e');

/** On every namespace that is made here, so that what was kept of failures is found again. */
export const ownLabel = 'etl-router-e2e';

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
  /** For all of it, from the new namespace to its end. */
  readonly timeoutMs?: number;
}

/** Runs `body` in a new namespace called after `id`. */
export function scenario(
  id: string,
  claim: string,
  body: (scenario: Scenario) => Promise<void>,
  { timeoutMs = 600_000 }: ScenarioOptions = {},
): void {
  void test(`${id}: ${claim}`, async () => {
    const namespace = `e2e-${id}`;
    const figures: Figures = {};
    try {
      await within(timeoutMs, `${id} is over`, async () => {
        await removeNamespace(namespace);
        await makeNamespace(namespace);
        await body(tellerOf(id, namespace, figures));
        await removeNamespace(namespace);
      });
    } catch (error) {
      await clearUp(id, namespace, error as Error);
      await writeFigures(id, figures);
      // A body that hangs can not be stopped, and would act beside the next scenario.
      if (error instanceof OutOfTimeError) process.exit(1);
      throw error;
    }
    await writeFigures(id, figures);
  });
}

type Figures = { [name: string]: unknown };

function tellerOf(id: string, namespace: string, figures: Figures): Scenario {
  return {
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
  };
}

async function writeFigures(id: string, figures: Figures): Promise<void> {
  await mkdir(reports, { recursive: true });
  await writeFile(join(reports, `${id}.json`), `${JSON.stringify(figures, undefined, 2)}\n`);
}

/** After a failure: what the cluster looks like is kept, the namespace only where that is wanted. */
async function clearUp(id: string, namespace: string, error: Error): Promise<void> {
  tell(`${id}: failed: ${error.message}`);
  const folder = join(reports, id);
  await keepEvidence(folder, namespace).then(
    () => tell(`${id}: what the cluster looked like is in ${folder}`),
    (fault: Error) => tell(`${id}: what the cluster looked like is not known: ${fault.message}`),
  );
  if (process.env['E2E_KEEP'] === undefined)
    await kubectl(['delete', 'namespace', namespace, '--wait=false']).catch(() => {});
}

export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

export async function makeNamespace(name: string): Promise<void> {
  const enforce = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await apply({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { ...enforce, [ownLabel]: 'true' } },
  });
}

/** Deletes it and waits, as its end is part of what is tested: nothing of ours may hold it up. */
export async function removeNamespace(name: string): Promise<void> {
  const args = ['delete', 'namespace', name, '--ignore-not-found', '--wait', '--timeout=150s'];
  await kubectl(args, { timeoutMs: 170_000 });
}
