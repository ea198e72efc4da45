// `etlctl cluster status` where every router can be asked: a line for each, by its own word, and beside it what the leader
// hears of it.

import { EtlError } from '@etl-router/core';
import { type CommandResult, type GlobalOptions, type Io, printableLine } from '../io.ts';
import { parseOutput, renderJson, renderTable, renderYaml } from '../output.ts';
import { doctorHint, type Route } from '../route.ts';
import { askAll, isOutsider, lagMax, lagOf, leaderOf, type Status, type Word } from '../routers.ts';

/** What a script gets of one router; null: it did not say. */
interface Row {
  readonly pod: string;
  readonly name: string | null;
  readonly raftId: string | null;
  readonly role: string | null;
  readonly term: string | null;
  readonly commitIndex: string | null;
  readonly lastApplied: string | null;
  /** Entries it lacks of what the leader has committed. */
  readonly lag: string | null;
  readonly version: string | null;
  /** `healthy`, `behind`, `waiting` (to be added), `outside` (removed, or not added yet), `away` (from the leader) or `silent`. */
  readonly health: string;
  readonly error: string | null;
}

export async function showRouters(
  route: Route,
  globals: GlobalOptions,
  io: Io,
): Promise<CommandResult> {
  const output = parseOutput(globals.output, ['table', 'json', 'yaml']);
  const cluster = await route.cluster();
  const words = await askAll(await route.entrances(), globals, io);
  const leader = leaderOf(words);
  const answered = words.flatMap(({ status }) => (status === undefined ? [] : [status]));
  const inside = answered.filter((status) => !isOutsider(status));
  const known = leader ?? inside[0] ?? answered[0];
  if (known === undefined) throw nobody(cluster, words);
  const rows = words.map((word) => toRow(word, leader));
  // Those that are no members do not know how the cluster is.
  const health = (leader?.health ?? (inside.length > 0 ? 'UNHEALTHY' : 'UNKNOWN')).toLowerCase();
  const answer = {
    cluster,
    clusterId: known.clusterId,
    health,
    leaderId: known.leaderId,
    routers: rows,
  };
  if (output === 'json') io.out(renderJson(answer));
  else if (output === 'yaml') io.out(await renderYaml(answer));
  else {
    io.out(`${printableLine(`${cluster}, cluster ${known.clusterId}: ${health}`)}\n`);
    io.out(render(rows));
    for (const { pod, error } of rows)
      if (error !== null) io.err(`${printableLine(`${pod}: ${error}`)}\n`);
  }
  return { summary: '' };
}

function nobody(cluster: string, words: readonly Word[]): EtlError {
  const [first] = words.flatMap(({ error }) => (error === undefined ? [] : [error]));
  if (first === undefined)
    return new EtlError('ETL_UNAVAILABLE', `${cluster} has no pods; ${doctorHint}`);
  return new EtlError(first.code, `no router of ${cluster} answers: ${first.message}`);
}

function toRow({ entrance, status, version, error }: Word, leader: Status | undefined): Row {
  const { pod } = entrance;
  if (status === undefined) {
    const message = error?.message ?? 'no answer';
    return {
      ...{ pod, name: null, raftId: null, role: null, term: null, commitIndex: null },
      ...{ lastApplied: null, lag: null, version: null, health: 'silent', error: message },
    };
  }
  const lag = lagOf(leader, status.raftId);
  return {
    ...{ pod, name: status.nodeId, raftId: status.raftId, role: status.role.toLowerCase() },
    ...{ term: status.currentTerm, commitIndex: status.commitIndex },
    ...{ lastApplied: status.lastApplied, lag: lag === undefined ? null : String(lag) },
    ...{ version: version ?? null, health: healthOf(status, leader, lag), error: null },
  };
}

function healthOf(status: Status, leader: Status | undefined, lag: bigint | undefined): string {
  if (status.members.length === 0) return 'waiting';
  if (isOutsider(status)) return 'outside';
  if (leader === undefined) return 'away';
  const member = leader.members.find(({ raftId }) => raftId === status.raftId);
  if (member === undefined) return 'waiting';
  if (member.healthy === false) return 'away';
  return lag !== undefined && lag > lagMax ? 'behind' : 'healthy';
}

function render(rows: readonly Row[]): string {
  const header = ['MEMBER', 'ROLE', 'TERM', 'INDEX', 'APPLIED', 'LAG', 'VERSION', 'HEALTH'];
  const cells = rows.map((row) => [
    ...[row.pod, row.role, row.term, row.commitIndex, row.lastApplied, row.lag, row.version],
    row.health,
  ]);
  return renderTable(
    header,
    cells.map((line) => line.map((cell) => cell ?? '-')),
  );
}
