// `etlctl doctor`: looks at everything that has to be right, in the order in which one thing needs the other, and says of
// each how it is and what to do. It changes nothing.

import { EtlError, isEtlError } from '@etl-router/core';
import { RouterClient } from '../client.ts';
import { type Check, checkClock, fail } from '../doctor/check.ts';
import { besides, checkRouter, type LeaderWord } from '../doctor/router.ts';
import type { CommandResult, GlobalOptions, Io } from '../io.ts';
import type { KubernetesPlace } from '../place.ts';
import { askStatus, isOutsider, type Status } from '../routers.ts';

export interface DoctorRequest {
  readonly globals: GlobalOptions;
  readonly io: Io;
}

/** A leader that may not be reachable from here is not waited for longer, in milliseconds. */
const patienceMs = 5000;

export async function doctor({ globals, io }: DoctorRequest): Promise<CommandResult> {
  const { place } = globals;
  const checks =
    place.kind === 'url' ? await ofRouter(globals, io) : await ofKubernetes(place, globals, io);
  const count = (level: Check['level']): number =>
    checks.filter((check) => check.level === level).length;
  const failed = count('fail');
  const totals = `${checks.length} checks: ${count('ok')} ok, ${count('warn')} to look at, ${failed} failed`;
  const failures =
    failed === 0
      ? []
      : [new EtlError('ETL_UNAVAILABLE', `${failed} of ${checks.length} checks failed`)];
  return { summary: `${render(checks)}\n${totals}`, result: { checks }, failures };
}

async function ofRouter(globals: GlobalOptions, io: Io): Promise<readonly Check[]> {
  const client = new RouterClient(globals, io);
  try {
    const { status, version } = await askStatus(client);
    const clock = checkClock('clock', 'the router', io.clock.wallMs(), client.serverTimeMs);
    const leader = await askLeader(client, status);
    return [...checkRouter(client.shown, status, version, leader), clock];
  } catch (error) {
    if (!isEtlError(error) || error.code === 'ETL_CANCELLED') throw error;
    const advice =
      'start it (npm start), or say where it is: --server, or --cluster for one in Kubernetes';
    return [fail('router', error.message, advice)];
  }
}

/** The leader that a follower names, asked too where that is safe; undefined: none has an address. */
async function askLeader(client: RouterClient, status: Status): Promise<LeaderWord | undefined> {
  const { leaderId, role, members, clusterId } = status;
  const address = members.find(({ name }) => name === leaderId)?.httpAddress;
  if (role === 'LEADER' || isOutsider(status) || !address) return undefined;
  const shown = besides(client.shown, address);
  const leader = client.toLeader(address, patienceMs);
  if (leader === undefined) return { shown, status: undefined };
  try {
    const { status: its } = await askStatus(leader);
    const leads = its.role === 'LEADER' && its.clusterId === clusterId;
    return { shown, status: leads ? its : undefined };
  } catch (error) {
    if (!isEtlError(error) || error.code === 'ETL_CANCELLED') throw error;
    // Its address may be one that only the members reach.
    return { shown, status: undefined };
  }
}

async function ofKubernetes(
  place: KubernetesPlace,
  globals: GlobalOptions,
  io: Io,
): Promise<readonly Check[]> {
  const { examine } = await import('../doctor/kubernetes.ts');
  return examine(place, globals, io);
}

const marks = { ok: 'OK', warn: 'WARN', fail: 'FAIL' } as const;

function render(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  return checks
    .flatMap(({ name, level, message, advice }) => [
      `${marks[level].padEnd(4)}  ${name.padEnd(width)}  ${message}`,
      ...(advice === undefined ? [] : [`${' '.repeat(6)}${' '.repeat(width)}  > ${advice}`]),
    ])
    .join('\n');
}
