// `etlctl backup`: snapshots of a router's state in a folder, and back. Whatever ends a command early, no part of a
// backup stays in the folder, and no copy of it at the router.

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { EtlError, isEtlError } from '@etl-router/core';
import {
  type BackupMetadata,
  type Compression,
  checkBackupId,
  checkIsNew,
  compressions,
  deleteBackup,
  folderOf,
  getBackup,
  listBackups,
  openBackup,
  proveBackup,
  writeBackup,
} from '../backup-files.ts';
import { RouterClient } from '../client.ts';
import {
  type CommandResult,
  type GlobalOptions,
  type Io,
  printable,
  printableLine,
  withoutCredentials,
} from '../io.ts';
import { parseOutput, renderJson, renderTable, renderYaml } from '../output.ts';
import { confirm, confirmTyped } from './confirm.ts';

interface State {
  readonly clusterId: string;
  readonly revision: string;
  readonly formatVersion: number;
  readonly objects: number;
  readonly pipelines: number;
  readonly lanes: number;
}

interface Snapshot {
  readonly id: string;
  readonly sizeBytes: string;
  readonly sha256: string;
  readonly commitIndex: string;
  readonly term: string;
  readonly createdAt: string;
  readonly state: State;
}

const stateFields = 'clusterId revision formatVersion objects pipelines lanes';
const createDocument = `mutation ($id: ID) {
  createSnapshot(id: $id) { id sizeBytes sha256 commitIndex term createdAt state { ${stateFields} } }
}`;
const deleteDocument = 'mutation ($id: ID!) { deleteSnapshot(id: $id) { success message code } }';
const stateDocument = `query { stateMetadata { ${stateFields} } }`;
const restoreDocument = `mutation (
  $id: ID!, $validateOnly: Boolean!, $clusterId: ID, $allowOtherCluster: Boolean!, $requestId: ID
) {
  restoreSnapshot(
    id: $id, validateOnly: $validateOnly, clusterId: $clusterId
    allowOtherCluster: $allowOtherCluster, requestId: $requestId
  ) { warnings state { ${stateFields} } }
}`;

export interface BackupRequest {
  readonly globals: GlobalOptions;
  readonly io: Io;
}

export interface CreateRequest extends BackupRequest {
  readonly dest: string;
  readonly id: string | undefined;
  readonly compression: string;
  readonly force: boolean;
}

/** `etlctl backup create`. */
export async function createBackup(request: CreateRequest): Promise<CommandResult> {
  const { globals, io, force, id } = request;
  const folder = folderOf('--dest', request.dest);
  const compression = compressionOf(request.compression);
  if (id !== undefined) {
    checkBackupId(id);
    await checkIsNew(folder, id, force);
  }
  const client = new RouterClient(globals, io);
  const copy = id === undefined ? undefined : copyName(id);
  const { createSnapshot: snapshot } = await client.query<{ createSnapshot: Snapshot }>(
    createDocument,
    { id: copy ?? null },
  );
  try {
    const path = `/backups/${encodeURIComponent(snapshot.id)}?compression=${compression}`;
    const metadata = await writeBackup({
      ...{ folder, force, compression, signal: io.signal },
      id: id ?? snapshot.id,
      facts: factsOf(id ?? snapshot.id, snapshot, client),
      bytes: await client.get(path),
    });
    return { summary: `backup ${told(metadata)} in ${folder}`, result: metadata };
  } finally {
    await forget(snapshot.id, client, io);
  }
}

export interface ListRequest extends BackupRequest {
  readonly dest: string;
  readonly limit: string;
}

/** `etlctl backup list`. */
export async function showBackups({
  globals,
  io,
  dest,
  limit,
}: ListRequest): Promise<CommandResult> {
  const output = parseOutput(globals.output, ['table', 'json', 'yaml', 'name']);
  const most = countOf('--limit', limit, 1);
  const { backups: all, failures } = await listBackups(folderOf('--dest', dest));
  const items = all.slice(0, most);
  const list = { apiVersion: 'v1', kind: 'List', items, metadata: {} };
  if (output === 'json') io.out(renderJson(list));
  else if (output === 'yaml') io.out(await renderYaml(list));
  else if (output === 'name') io.out(items.map((each) => `${each.backup_id}\n`).join(''));
  else {
    const rows = items.map((each) => [
      each.backup_id,
      each.created_at,
      sizeOf(each.file_bytes),
      String(each.objects),
      withoutCredentials(each.router_endpoint),
    ]);
    io.out(renderTable(['ID', 'CREATED', 'SIZE', 'OBJECTS', 'ROUTER'], rows));
    if (all.length > most) io.err(`${all.length - most} older ones are not shown; see --limit.\n`);
  }
  return { summary: '', failures };
}

export interface DescribeRequest extends BackupRequest {
  readonly id: string;
  readonly source: string;
}

/** `etlctl backup describe`. */
export async function describeBackup(request: DescribeRequest): Promise<CommandResult> {
  const { globals, io, id, source } = request;
  const output = parseOutput(globals.output, ['table', 'json', 'yaml']);
  const folder = folderOf('--source', source);
  const metadata = await getBackup(folder, id);
  await proveBackup(join(folder, id), metadata, io.signal);
  if (output === 'json') io.out(renderJson(metadata));
  else if (output === 'yaml') io.out(await renderYaml(metadata));
  else {
    const lines = {
      backup: metadata.backup_id,
      cluster: metadata.cluster_id,
      router: withoutCredentials(metadata.router_endpoint),
      created: metadata.created_at,
      entry: `${metadata.commit_index} of term ${metadata.term}, revision ${metadata.revision}`,
      holds: `${countedOf(metadata)}, ${metadata.lanes} lanes`,
      size: `${sizeOf(metadata.size_bytes)}, ${sizeOf(metadata.file_bytes)} as ${metadata.compression}`,
      sha256: `${metadata.sha256} (proven)`,
    };
    for (const [name, value] of Object.entries(lines))
      io.out(`${`${name}:`.padEnd(9)} ${printableLine(value)}\n`);
  }
  return { summary: '' };
}

export interface RestoreRequest extends BackupRequest {
  readonly id: string;
  readonly source: string;
  readonly validateOnly: boolean;
  readonly yes: boolean;
  /** The cluster whose state is replaced, as it was said beforehand. */
  readonly clusterId: string | undefined;
  readonly allowOtherCluster: boolean;
}

/** `etlctl backup restore`. */
export async function restoreBackup(request: RestoreRequest): Promise<CommandResult> {
  const { globals, io, id, validateOnly, allowOtherCluster, source } = request;
  const folder = folderOf('--source', source);
  const metadata = await getBackup(folder, id);
  await proveBackup(join(folder, id), metadata, io.signal);
  const client = new RouterClient(globals, io);
  const { stateMetadata: now } = await client.query<{ stateMetadata: State }>(stateDocument);
  checkClusters(request, metadata, now);
  if (!validateOnly) await consent(request, metadata, now);
  const copy = copyName(id);
  await client.put(uploadPath(copy, metadata), openBackup(folder, metadata));
  let isOpen = false;
  try {
    const variables = { id: copy, validateOnly, allowOtherCluster, clusterId: now.clusterId };
    const { restoreSnapshot: result } = await client.query<{
      restoreSnapshot: { readonly warnings: readonly string[]; readonly state: State };
    }>(restoreDocument, { ...variables, requestId: copy });
    for (const warning of result.warnings) io.err(`${printable(warning)}\n`);
    const what = `backup ${told(metadata)}`;
    const summary = validateOnly
      ? `${what} can be restored to cluster ${now.clusterId}; nothing was changed`
      : `${what} restored to cluster ${now.clusterId}`;
    return { summary, result };
  } catch (error) {
    isOpen = isEtlError(error) && error.code === 'ETL_TIMEOUT';
    throw error;
  } finally {
    // A restore that may still go on reads its copy.
    if (!isOpen) await forget(copy, client, io);
  }
}

export interface DeleteRequest extends BackupRequest {
  readonly id: string;
  readonly dest: string;
  readonly yes: boolean;
}

/** `etlctl backup delete`. */
export async function removeBackup({ id, dest, yes, io }: DeleteRequest): Promise<CommandResult> {
  const folder = folderOf('--dest', dest);
  const what = await nameFor(folder, id);
  if (!yes) await confirm(`Delete backup ${what} for good?`, io);
  await deleteBackup(folder, id);
  return { summary: `backup ${id} is gone`, result: { deleted: [id] } };
}

/** What to ask about: one that is damaged can go as well. */
async function nameFor(folder: string, id: string): Promise<string> {
  try {
    return told(await getBackup(folder, id));
  } catch (error) {
    if (isEtlError(error) && error.code === 'ETL_STORAGE_CORRUPT')
      return `${id}, which is damaged,`;
    throw error;
  }
}

export interface CleanupRequest extends BackupRequest {
  readonly dest: string;
  readonly keep: string;
  readonly yes: boolean;
}

/** `etlctl backup cleanup`. */
export async function cleanUpBackups(request: CleanupRequest): Promise<CommandResult> {
  const { dest, yes, io } = request;
  const keep = countOf('--keep', request.keep, 1);
  const folder = folderOf('--dest', dest);
  // One that can not be read counts as none that is kept, and stays until someone deletes it by name.
  const { backups, failures } = await listBackups(folder);
  const old = backups.slice(keep).map((each) => each.backup_id);
  const result = { deleted: old };
  if (old.length === 0) return { summary: `there are not more than ${keep}`, result, failures };
  const many = old.length === 1 ? 'backup' : `${old.length} backups`;
  if (!yes) await confirm(`Delete ${many} for good: ${old.join(', ')}?`, io);
  for (const id of old) await deleteBackup(folder, id);
  return { summary: `${many} deleted: ${old.join(', ')}`, result, failures };
}

function checkClusters(
  { clusterId, allowOtherCluster }: RestoreRequest,
  metadata: BackupMetadata,
  now: State,
): void {
  if (metadata.cluster_id !== now.clusterId && !allowOtherCluster) {
    throw new EtlError(
      'ETL_UNSAFE',
      `backup ${metadata.backup_id} is of cluster ${metadata.cluster_id}, and --server is of ${now.clusterId}; --allow-other-cluster restores it all the same`,
    );
  }
  if (clusterId === undefined || clusterId === now.clusterId) return;
  throw new EtlError(
    'ETL_UNSAFE',
    `--cluster-id: --server is of cluster ${now.clusterId}, not ${clusterId}; nothing was changed`,
  );
}

/** Nothing is replaced that was not named. */
async function consent(
  { yes, clusterId, io }: RestoreRequest,
  metadata: BackupMetadata,
  now: State,
): Promise<void> {
  if (yes && clusterId !== undefined) return;
  if (yes) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `--yes goes with --cluster-id, which says whose state is replaced; here that is ${now.clusterId}`,
    );
  }
  await confirmTyped(
    {
      question: `Replace the state of cluster ${now.clusterId} (${countedOf(now)}) by backup ${told(metadata)}?`,
      expected: now.clusterId,
      what: 'the id of the cluster',
      beforehand: '--yes with --cluster-id',
    },
    io,
  );
}

function uploadPath(copy: string, metadata: BackupMetadata): string {
  const { size_bytes: size, sha256, compression } = metadata;
  return `/backups/${encodeURIComponent(copy)}?size=${size}&sha256=${sha256}&compression=${compression}`;
}

/** Name of the copy at the router: one that nobody else uses. */
function copyName(id: string): string {
  return `${id.slice(0, 80)}.${randomUUID()}`;
}

/** Removes the copy at the router, though the user interrupted the command. */
async function forget(id: string, client: RouterClient, io: Io): Promise<void> {
  try {
    await (await client.afterwards()).query(deleteDocument, { id });
  } catch {
    io.err(`The router keeps a copy, snapshot ${id}.\n`);
  }
}

function factsOf(
  id: string,
  snapshot: Snapshot,
  { shown }: RouterClient,
): Omit<BackupMetadata, 'file' | 'file_bytes' | 'compression'> {
  const { state } = snapshot;
  return {
    version: '1',
    backup_id: id,
    router_endpoint: shown,
    cluster_id: state.clusterId,
    commit_index: snapshot.commitIndex,
    term: snapshot.term,
    revision: state.revision,
    format_version: state.formatVersion,
    created_at: snapshot.createdAt,
    objects: state.objects,
    pipelines: state.pipelines,
    lanes: state.lanes,
    size_bytes: Number(snapshot.sizeBytes),
    sha256: snapshot.sha256,
  };
}

function told(metadata: BackupMetadata): string {
  return `${metadata.backup_id} of ${metadata.created_at} (${countedOf(metadata)}, ${sizeOf(metadata.file_bytes)})`;
}

function countedOf({
  objects,
  pipelines,
}: {
  readonly objects: number;
  readonly pipelines: number;
}): string {
  const shown = `${objects} object${objects === 1 ? '' : 's'}`;
  return pipelines === 0
    ? shown
    : `${shown}, of them ${pipelines} pipeline${pipelines === 1 ? '' : 's'}`;
}

function compressionOf(text: string): Compression {
  const known = compressions.find((each) => each === text);
  if (known !== undefined) return known;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `--compression: ${JSON.stringify(text)} is none of ${compressions.join(', ')}`,
  );
}

function countOf(flag: string, text: string, least: number): number {
  const count = Number(text);
  if (/^\d{1,6}$/.test(text) && count >= least) return count;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `${flag}: ${JSON.stringify(text)} is no whole number from ${least} to 999999`,
  );
}

function sizeOf(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}
