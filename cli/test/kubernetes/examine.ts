// Runs doctor in a Kubernetes that a test plays, and reads its report.

import { etlctl } from '../harness.ts';
import type { FakeKubernetes } from './kubernetes.ts';

/** A line of the report. */
export interface Check {
  readonly name: string;
  readonly level: string;
  readonly message: string;
  readonly advice?: string;
}

export interface Report {
  readonly code: number;
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

/** Runs doctor with the kubeconfig of `kubernetes`. */
export async function examine(
  kubernetes: FakeKubernetes,
  ...more: readonly string[]
): Promise<Report> {
  const kubeconfig = await kubernetes.kubeconfig();
  const args = ['doctor', '--kubeconfig', kubeconfig, '-o', 'json', ...more];
  const { code, out } = await etlctl(args);
  const { ok, result } = JSON.parse(out) as { ok: boolean; result: { checks: readonly Check[] } };
  return { code, ok, checks: result.checks };
}

/** What is not as it should be. */
export const troubles = ({ checks }: Report): readonly Check[] =>
  checks.filter(({ level }) => level !== 'ok');
