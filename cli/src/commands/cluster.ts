// `etlctl cluster`: who belongs to the cluster and how it does, and the changes of its members. What is safe is decided
// by the leader; here is only asked before a member is removed, which has no way back.

import { EtlError } from '@etl-router/core';
import { RouterClient } from '../client.ts';
import {
  type CommandResult,
  type GlobalOptions,
  type Io,
  printable,
  printableLine,
} from '../io.ts';
import { parseOutput, renderJson, renderTable, renderYaml } from '../output.ts';
import {
  isOutsider,
  type Member,
  memberFields,
  outsiderWords,
  type Status,
  statusFields,
} from '../routers.ts';
import { confirm } from './confirm.ts';
import { assertSuccess, type MutationResult } from './pause.ts';

const membersDocument = `query { clusterStatus { ${memberFields} } }`;
const statusDocument = `query {
  ${statusFields}
}`;

export interface ClusterRequest {
  readonly globals: GlobalOptions;
  readonly io: Io;
}

/** `etlctl cluster status`. */
export async function showStatus({ globals, io }: ClusterRequest): Promise<CommandResult> {
  const output = parseOutput(globals.output, ['table', 'json', 'yaml']);
  if (globals.route !== undefined) {
    const { showRouters } = await import('./cluster-routers.ts');
    return showRouters(globals.route, globals, io);
  }
  const { clusterStatus: status } = await new RouterClient(globals, io).query<{
    clusterStatus: Status;
  }>(statusDocument);
  if (output === 'json') io.out(renderJson(status));
  else if (output === 'yaml') io.out(await renderYaml(status));
  else {
    // What an outsider knows is of the time when it belonged to the cluster.
    const isOutside = isOutsider(status);
    if (isOutside) io.out(`${printableLine(outsiderWords(status))}\n`);
    const lines = {
      cluster: status.clusterId,
      health: isOutside ? 'unknown' : status.health.toLowerCase(),
      leader: isOutside && status.leaderId === null ? 'not known here' : leaderLine(status),
      members: membersLine(status.members),
      asked: `${status.nodeId} (id ${status.raftId}), ${status.role.toLowerCase()}`,
      term: status.currentTerm,
      committed: status.commitIndex,
      applied: status.lastApplied,
    };
    for (const [name, value] of Object.entries(lines))
      io.out(`${`${name}:`.padEnd(10)} ${printableLine(value)}\n`);
    if (status.members.length === 0) io.err(toBeAdded(status));
    if (isOutside) io.err(askMember(status.members));
  }
  return { summary: '' };
}

/** A member that joins can do nothing by itself. */
function toBeAdded({ nodeId, raftId }: Status): string {
  const line = printableLine(`etlctl cluster add ${nodeId} <its Raft address> --raft-id ${raftId}`);
  return `This member waits to be added: ask another one for ${line}.\n`;
}

function askMember(members: readonly Member[]): string {
  const { name, httpAddress } =
    members.find((member) => member.httpAddress) ?? (members[0] as Member);
  const how = httpAddress ? `--server ${httpAddress} asks ${name}` : `--server names ${name}`;
  return `Ask a member how the cluster is: ${printableLine(how)}. What was removed can be stopped.\n`;
}

function leaderLine({ leaderId, members }: Status): string {
  if (leaderId === null) return 'none is known';
  const { grpcAddress, httpAddress } = members.find(({ name }) => name === leaderId) ?? {};
  const at = [
    ...(grpcAddress ? [`gRPC ${grpcAddress}`] : []),
    ...(httpAddress ? [`HTTP ${httpAddress}`] : []),
  ];
  return at.length === 0 ? leaderId : `${leaderId}, ${at.join(', ')}`;
}

function membersLine(members: readonly Member[]): string {
  const learners = members.filter(({ role }) => role === 'LEARNER').length;
  const away = members.filter(({ healthy }) => healthy === false).map(({ name }) => name);
  const voters = members.length - learners;
  const parts = [
    `${voters} voter${voters === 1 ? '' : 's'}`,
    ...(learners === 0 ? [] : [`${learners} learner${learners === 1 ? '' : 's'}`]),
    ...(away.length === 0 ? [] : [`not healthy: ${away.join(', ')}`]),
  ];
  return parts.join(', ');
}

/** `etlctl cluster members`. */
export async function listMembers({ globals, io }: ClusterRequest): Promise<CommandResult> {
  const output = parseOutput(globals.output, ['table', 'json', 'yaml', 'name']);
  const items = await readMembers(new RouterClient(globals, io));
  const list = { apiVersion: 'v1', kind: 'List', items, metadata: {} };
  if (output === 'json') io.out(renderJson(list));
  else if (output === 'yaml') io.out(await renderYaml(list));
  else if (output === 'name') io.out(items.map(({ name }) => `${printableLine(name)}\n`).join(''));
  else {
    const rows = items.map(({ healthy, ...member }) => [
      member.name,
      member.raftId,
      member.role.toLowerCase(),
      healthy === null ? '-' : healthy ? 'yes' : 'no',
      member.matchIndex ?? '-',
      member.address === '' ? '-' : member.address,
      member.grpcAddress ?? '-',
      member.httpAddress ?? '-',
    ]);
    io.out(renderTable(['NAME', 'ID', 'ROLE', 'HEALTHY', 'MATCH', 'RAFT', 'GRPC', 'HTTP'], rows));
    if (items.some(({ healthy }) => healthy === null)) io.err(askLeader(items));
  }
  return { summary: '' };
}

function askLeader(members: readonly Member[]): string {
  const leader = members.find(({ role }) => role === 'LEADER');
  if (leader === undefined)
    return 'No leader is known, and nobody else knows how the others are.\n';
  const { httpAddress } = leader;
  const how = httpAddress ? `--server ${printableLine(httpAddress)} asks it` : '--server names it';
  return `Only the leader knows how the others are; ${how}.\n`;
}

async function readMembers(client: RouterClient): Promise<readonly Member[]> {
  const { clusterStatus } = await client.query<{
    clusterStatus: { readonly members: readonly Member[] };
  }>(membersDocument);
  return clusterStatus.members;
}

export interface AddRequest extends ClusterRequest {
  readonly name: string;
  readonly raftId: string;
  readonly address: string;
}

/** `etlctl cluster add`. */
export async function addMember({
  name,
  raftId,
  address,
  ...rest
}: AddRequest): Promise<CommandResult> {
  checkId(raftId);
  await checkUnmanaged(rest.globals);
  return mutate(rest, {
    field: 'addLearner',
    types: { name: 'ID!', raftId: 'UInt64!', address: 'String!' },
    values: { name, raftId, address },
  });
}

export interface PromoteRequest extends ClusterRequest {
  readonly member: string;
  readonly replaces: string | undefined;
}

/** `etlctl cluster promote`. */
export async function promoteMember(request: PromoteRequest): Promise<CommandResult> {
  const { member, replaces } = request;
  await checkUnmanaged(request.globals);
  const members = await readMembers(new RouterClient(request.globals, request.io));
  const values = {
    raftId: idOf(member, members),
    replacesRaftId: replaces === undefined ? null : idOf(replaces, members),
  };
  const types = { raftId: 'UInt64!', replacesRaftId: 'UInt64' };
  return mutate(request, { field: 'promoteMember', types, values });
}

export interface RemoveRequest extends ClusterRequest {
  readonly member: string;
  readonly force: boolean;
  /** It was said beforehand that nobody need be asked. */
  readonly yes: boolean;
}

/** `etlctl cluster remove`. */
export async function removeMember(request: RemoveRequest): Promise<CommandResult> {
  const { member, force, yes, io } = request;
  await checkUnmanaged(request.globals);
  const members = await readMembers(new RouterClient(request.globals, io));
  const raftId = idOf(member, members);
  const name = members.find((each) => each.raftId === raftId)?.name;
  if (!yes) {
    const shown =
      name === undefined ? `the member with id ${raftId}` : `member ${name} (id ${raftId})`;
    await confirm(`Remove ${printable(shown)} for good?`, io);
  }
  const types = { raftId: 'UInt64!', force: 'Boolean!' };
  return mutate(request, { field: 'removeMember', types, values: { raftId, force } });
}

export interface TransferRequest extends ClusterRequest {
  readonly member: string | undefined;
}

/** `etlctl cluster transfer`. */
export async function transferLeadership(request: TransferRequest): Promise<CommandResult> {
  const { member } = request;
  const toRaftId =
    member === undefined
      ? null
      : idOf(member, await readMembers(new RouterClient(request.globals, request.io)));
  const types = { toRaftId: 'UInt64' };
  return mutate(request, { field: 'transferLeadership', types, values: { toRaftId } });
}

/** Members that an operator decides about are not changed behind its back: it would change them again. */
async function checkUnmanaged({ route }: GlobalOptions): Promise<void> {
  if (route === undefined || !(await route.isManaged())) return;
  const cluster = await route.cluster();
  throw new EtlError(
    'ETL_UNSAFE',
    `the operator decides about the members of ${cluster}: set spec.replicas, or spec.reconciliation to paused to do it by hand`,
  );
}

interface Mutation {
  readonly field: string;
  /** GraphQL's type of each argument. */
  readonly types: { readonly [argument: string]: string };
  readonly values: { readonly [argument: string]: string | boolean | null };
}

async function mutate(
  { globals, io }: ClusterRequest,
  { field, types, values }: Mutation,
): Promise<CommandResult> {
  const declared = Object.entries(types).map(([name, type]) => `$${name}: ${type}`);
  const given = Object.keys(types).map((name) => `${name}: $${name}`);
  const document = `mutation (${declared.join(', ')}) { ${field}(${given.join(', ')}) { success message code } }`;
  const client = new RouterClient(globals, io);
  const answer = await client.query<{ [field: string]: MutationResult }>(document, values);
  const result = answer[field] as MutationResult;
  assertSuccess(result);
  return { summary: result.message ?? '', result: values };
}

/** The Raft id that a name, an id or a pod means; a name goes first, as names may be numbers too. A pod is a host. */
function idOf(member: string, members: readonly Member[]): string {
  const named = members.find(({ name }) => name === member);
  if (named !== undefined) return named.raftId;
  if (/^[1-9]\d{0,15}$/.test(member)) return member;
  const [pod, ...more] = members.filter(({ address }) => /^[^.:]*/.exec(address)?.[0] === member);
  if (pod !== undefined && more.length === 0) return pod.raftId;
  const names = members.map(({ name }) => name).join(', ');
  throw new EtlError(
    'ETL_NOT_FOUND',
    `there is no member ${JSON.stringify(member)}; there are ${names}`,
  );
}

function checkId(id: string): void {
  if (/^[1-9]\d{0,15}$/.test(id)) return;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `--raft-id: ${JSON.stringify(id)} is no whole number; etlctl cluster status of that member shows its Raft id`,
  );
}
