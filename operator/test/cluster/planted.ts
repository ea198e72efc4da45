// Faults of a plan, as one replacement each in its sources. The model has to find every one of them: a model that never
// failed proves nothing.

import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Planner } from './operator.ts';

export interface PlantedFault {
  readonly name: string;
  readonly what: string;
  /** Below operator/src/cluster/. */
  readonly file: string;
  /** Stands there exactly once. */
  readonly search: string;
  readonly replacement: string;
  /** Where the model begins to look. Default 1. */
  readonly firstSeed?: number;
}

export const plantedFaults: readonly PlantedFault[] = [
  {
    name: 'twoPods',
    what: 'a pod is given up while another one ends',
    // It takes two troubles at once: the first seeds are none of those in which they meet.
    firstSeed: 800,
    file: 'membership.ts',
    search: 'view.pods.find((each) => each.terminating && !each.isStuck);',
    replacement: 'view.pods.find(() => false);',
  },
  {
    name: 'noMajority',
    what: 'a pod is restarted though no majority is left without it',
    file: 'rollout.ts',
    search: "if (voters > 1 && victim.role === 'voter' && !staysQuorate(facts, victim, voters))",
    replacement: 'if (voters > 9)',
  },
  {
    name: 'leaderAsAny',
    what: 'a leader is restarted without handing over',
    file: 'rollout.ts',
    search: "if (victim.leads && voters > 1) return handOver(facts, victim, 'rollout');",
    replacement: '',
  },
  {
    name: 'endsTwice',
    what: 'a pod is deleted again that ends on a lost node',
    firstSeed: 80,
    file: 'rollout.ts',
    search: 'if (pod.terminating)',
    replacement: 'if (pod.name === "")',
  },
  {
    name: 'leaveAnyway',
    what: 'a voter is removed without counting those that stay',
    file: 'membership.ts',
    search: "if (member.role === 'voter' && !staysQuorate(facts, member, voters - 1)) {",
    replacement: "if (member.role === 'voter' && voters === 1) {",
  },
  {
    name: 'leaderLeaves',
    what: 'a leader is removed while it leads',
    file: 'membership.ts',
    search: 'if (member.leads) return handOver(facts, member, type);',
    replacement: '',
  },
  {
    name: 'lateLearner',
    what: 'a learner is promoted however far behind it is',
    file: 'membership.ts',
    search: 'if (learner.works && working >= majorityOf(voters.length + 1)) {',
    replacement: 'if (working >= majorityOf(voters.length + 1)) {',
  },
  {
    name: 'driftStays',
    what: 'pods of members that somebody scaled away do not come back',
    file: 'plan.ts',
    search: 'const replicas = Math.max(set?.replicas ?? 0, least);',
    replacement: 'const replicas = set?.replicas ?? least;',
  },
  {
    name: 'rolloutFirst',
    what: 'a rollout that waits for a member keeps that member from being replaced',
    file: 'plan.ts',
    search: "if (rollout?.kind === 'act' || isInRestart(facts)) return rollout;",
    replacement: 'if (rollout !== undefined) return rollout;',
  },
  {
    name: 'wordLost',
    what: 'what was said of a pod that was collected is not read from its volume',
    file: 'facts.ts',
    search: 'return isNoted || podOf(facts, ordinal)?.unrecoverable === true;',
    replacement: 'return podOf(facts, ordinal)?.unrecoverable === true;',
  },
  {
    name: 'wordNotNoted',
    what: 'what was said of a pod is not noted on its volume',
    file: 'plan.ts',
    search: 'const mark = markStep(facts);',
    replacement: 'const mark = undefined as ReturnType<typeof markStep>;',
  },
  {
    name: 'unpaused',
    what: 'a pause is not kept',
    file: 'plan.ts',
    search: "if (cluster.spec.reconciliation === 'paused')",
    replacement: "if (cluster.metadata.name === 'paused')",
  },
  {
    name: 'peersUntold',
    what: 'who starts on an empty disk after the founding is told of no member, and finds no cluster',
    file: 'config.ts',
    search: 'return isFounded ? [...members, nobody] : members;',
    replacement: 'return isFounded ? [] : members;',
  },
];

const folder = new URL('../../src/cluster/', import.meta.url);

/** The plan with the fault in it. */
export async function planWith(fault: PlantedFault): Promise<Planner> {
  const query = `?planted=${fault.name}`;
  const hooks = registerHooks({
    resolve: (specifier, context, next) => {
      const found = next(specifier, context);
      const isOurs =
        context.parentURL?.endsWith(query) === true && found.url.startsWith(folder.href);
      return isOurs && !found.url.includes('?') ? { ...found, url: found.url + query } : found;
    },
    load: (url, context, next) => {
      if (url !== new URL(fault.file, folder).href + query) return next(url, context);
      return { ...next(url, context), source: patched(fault) };
    },
  });
  try {
    const { plan } = (await import(`${folder.href}plan.ts${query}`)) as { readonly plan: Planner };
    return plan;
  } finally {
    hooks.deregister();
  }
}

function patched({ name, file, search, replacement }: PlantedFault): string {
  const source = readFileSync(fileURLToPath(new URL(file, folder)), 'utf8');
  const parts = source.split(search);
  if (parts.length !== 2) throw new Error(`${name}: its place is not there exactly once`);
  return parts.join(replacement);
}
