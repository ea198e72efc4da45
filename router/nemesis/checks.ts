// What has to hold after a run, whatever was done to it: nothing that was answered is gone, the history is linearizable,
// all members hold the same, and no process ended that nobody ended.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkHistory } from '../linearizability/check-history.ts';
import { describeReport } from '../linearizability/describe.ts';
import type { Operation, Operations } from '../linearizability/operations.ts';
import type { Cluster } from './cluster.ts';
import type { Member } from './member.ts';
import type { Workload } from './workload.ts';

type Read = Operations['get']['out'];

/** Client numbers of the last reads, above those of the workload. */
const lastReader = 1000;

export interface Findings {
  /** Answered writes that are gone. */
  readonly lostWrites: number;
  readonly linearizable: boolean;
  /** What else is wrong; empty: nothing. */
  readonly problems: readonly string[];
}

/** Writes every key once more, reads all from every member, and compares revisions. To be called on a cluster that is well. */
export async function lastReads(cluster: Cluster, workload: Workload): Promise<readonly string[]> {
  await workload.writeAll();
  return [...workload.problems, ...(await sameReads(cluster, workload))];
}

/** Reads every key and lane from every member, and tells where they differ; so do their revisions. */
export async function sameReads(cluster: Cluster, workload: Workload): Promise<readonly string[]> {
  const problems: string[] = [];
  const seen = new Map<string, string>();
  const compare = (member: Member, name: string, read: object): void => {
    const shown = JSON.stringify(read);
    const before = seen.get(name) ?? shown;
    seen.set(name, before);
    if (before !== shown)
      problems.push(`member ${member.name} reads ${name} as ${shown}, another as ${before}`);
  };
  for (const member of cluster.members) {
    const reader = lastReader + member.number;
    for (const name of workload.keyNames)
      compare(member, name, await workload.readFrom(reader, member, name));
    for (const lane of workload.laneNames)
      compare(member, lane, await workload.readLaneFrom(reader, member, lane));
  }
  const revisions = await Promise.all(
    cluster.members.map(async (member) => (await cluster.statusOf(member))?.revision),
  );
  // A read from each member came before, so each has applied all that was written.
  if (new Set(revisions.filter((revision) => revision !== undefined)).size > 1)
    problems.push(`members are at different revisions: ${revisions.join(', ')}`);
  return problems;
}

/** Ends all members as an operator would, the leader last, and compares what they left: nobody writes any more. */
export async function lastState(cluster: Cluster): Promise<readonly string[]> {
  const leader = await cluster.leader();
  const followers = cluster.members.filter((member) => member !== leader);
  const endings = await Promise.all(followers.map((member) => member.stop()));
  endings.push(await leader.stop());
  const inOrder = [...followers, leader];
  const problems = endings.flatMap(({ code, signal }, at) =>
    code === 0
      ? []
      : [`member ${inOrder[at]?.name} was asked to stop and ended with ${code ?? signal}`],
  );
  const states = await Promise.all(inOrder.map(stateOf));
  if (new Set(states.map(({ sha256 }) => sha256)).size > 1)
    problems.push(`members hold different states: ${JSON.stringify(states)}`);
  return problems;
}

/** What a clean stop wrote down of the rows. */
async function stateOf(member: Member): Promise<{ readonly sha256: string }> {
  const file = join(member.dataDirectory, 'router', 'applied.clean');
  return JSON.parse(await readFile(file, 'utf8')) as { readonly sha256: string };
}

/** Whether the history can have happened, and which answered writes it shows to be gone. */
export function judge(history: readonly Operation[], problems: readonly string[]): Findings {
  const report = checkHistory(history);
  const linearizable = report.verdict === 'ok';
  const lost = [...lostWrites(history), ...lostPositions(history)];
  const unfenced = unfencedCommits(history);
  return {
    lostWrites: lost.length,
    linearizable,
    problems: [...lost, ...unfenced, ...(linearizable ? [] : describeReport(report)), ...problems],
  };
}

/**
 * Answered writes with a version above what was read in the end, or whose object is gone though nobody can have deleted
 * it afterwards. Simpler than the check of the history, and so an answer to whether that one can be believed.
 */
export function lostWrites(history: readonly Operation[]): readonly string[] {
  const lost: string[] = [];
  for (const name of new Set(history.flatMap(nameOf))) {
    const about = history.filter((operation) => nameOf(operation).includes(name));
    const last = about.findLast(
      ({ op, client, out }) => op === 'get' && client > lastReader && out !== null,
    );
    if (last?.op !== 'get' || last.out === null) continue;
    for (const operation of about) {
      const { op, out, callNs } = operation;
      if (op !== 'create' && op !== 'update') continue;
      if (out === null || out.error !== undefined) continue;
      const deletions = about.filter(
        (other) => other.op === 'delete' && (other.returnNs ?? Number.POSITIVE_INFINITY) > callNs,
      );
      if (isGone(out.version, last.out, deletions.length > 0))
        lost.push(
          `write ${operation.id} of ${name} at version ${out.version} is gone: ${JSON.stringify(last.out)}`,
        );
    }
  }
  return lost;
}

/** Answered commits of lanes that were before them in the end. */
export function lostPositions(history: readonly Operation[]): readonly string[] {
  const commits = history.filter((operation) => operation.op === 'commitPosition');
  return commits.flatMap(({ id, in: { lane, position }, out }) => {
    if (out === null || out.error !== undefined) return [];
    const last = history.findLast(
      (other) =>
        other.op === 'getLane' && other.client > lastReader && other.in.lane === lane && other.out,
    );
    if (last?.op !== 'getLane' || last.out === null || last.out.error === 'refused') return [];
    const isThere = last.out.error === undefined && last.out.position >= position;
    return isThere
      ? []
      : [`commit ${id} of ${lane} at ${position} is gone: ${JSON.stringify(last.out)}`];
  });
}

/** Commits that were taken though someone had been told of a newer epoch before they were sent. */
export function unfencedCommits(history: readonly Operation[]): readonly string[] {
  const newest = new Map<string, { readonly atNs: number; readonly epoch: number }[]>();
  for (const operation of history) {
    if (operation.op !== 'acquireEpoch' || operation.out === null || operation.returnNs === null)
      continue;
    if (operation.out.error !== undefined) continue;
    const told = newest.get(operation.in.lane) ?? [];
    told.push({ atNs: operation.returnNs, epoch: operation.out.epoch });
    newest.set(operation.in.lane, told);
  }
  return history.flatMap((operation) => {
    if (operation.op !== 'commitPosition' || operation.out === null) return [];
    const { id, in: input, out, callNs } = operation;
    if (out.error !== undefined) return [];
    const newer = newest
      .get(input.lane)
      ?.find(({ atNs, epoch }) => atNs < callNs && epoch > input.epoch);
    return newer === undefined
      ? []
      : [`commit ${id} of ${input.lane} under epoch ${input.epoch} was taken after ${newer.epoch}`];
  });
}

function isGone(version: number, read: Read, mayBeDeleted: boolean): boolean {
  if (read.error === undefined) return read.version < version;
  return read.error === 'notFound' && !mayBeDeleted;
}

function nameOf(operation: Operation): readonly string[] {
  return 'name' in operation.in ? [operation.in.name] : [];
}
