// etlctl backup against a router, and what it makes of folders where something is wrong.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { ManualClock } from '@etl-router/core';
import { type NewBackup, writeBackup } from '../src/backup-files.ts';
import { run } from '../src/program.ts';
import { etlctl, type Ran } from './harness.ts';
import { type StandaloneProcess, startStandalone } from './standalone-process.ts';

const source = (name: string): string => `apiVersion: etl.router/v1
kind: EtlSource
metadata: { name: ${name}, namespace: lab }
spec: { generator: { count: 1 } }
`;

/** Runs a command line at a terminal where `typed` is typed. */
async function atTerminal(args: readonly string[], typed: string): Promise<Ran> {
  const texts = { out: '', err: '' };
  const stdin = Object.assign(Readable.from([Buffer.from(`${typed}\n`)]), { isTTY: true });
  const code = await run(args, {
    out: (text) => void (texts.out += text),
    err: (text) => void (texts.err += text),
    ...{ stdin, env: {}, isTty: true },
    clock: new ManualClock(Date.parse('2026-01-01T00:00:00Z')),
    signal: new AbortController().signal,
  });
  return { code, ...texts };
}

suite('etlctl backup against a router', () => {
  let router: StandaloneProcess;
  let dest: string;
  let clusterId: string;
  const ctl = (...args: string[]): Promise<Ran> =>
    etlctl(['backup', ...args, '--server', router.server]);
  const names = async (): Promise<string> =>
    (await etlctl(['get', 'sources', '-n', 'lab', '-o', 'name', '-s', router.server])).out;

  before(async () => {
    router = await startStandalone();
    dest = await mkdtemp(join(tmpdir(), 'etlctl-backup-'));
    const status = await etlctl(['cluster', 'status', '-o', 'json', '-s', router.server]);
    ({ clusterId } = JSON.parse(status.out) as { clusterId: string });
    await etlctl(['apply', '-f', '-', '-s', router.server], source('first'));
  });
  after(async () => {
    await router.close();
    await rm(dest, { recursive: true, force: true });
  });

  test('a backup is made in every compression, listed and described', async () => {
    for (const kind of ['zstd', 'gzip', 'none']) {
      const made = await ctl('create', '--dest', dest, '--id', kind, '-c', kind);
      assert.equal(made.code, 0, made.err);
      assert.match(made.out, new RegExp(`^backup ${kind} of .* \\(1 object, [\\d.]+ K?i?B\\) in `));
    }
    assert.deepEqual((await readdir(dest)).sort(), ['gzip', 'none', 'zstd']);
    assert.deepEqual((await readdir(join(dest, 'zstd'))).sort(), ['metadata.json', 'state.zst']);
    const listed = await ctl('list', '--dest', `file://${dest}`, '-l', '2');
    assert.match(listed.out, /^ID +CREATED +SIZE +OBJECTS +ROUTER\nnone .*\ngzip .*\n$/);
    assert.match(listed.err, /^1 older ones are not shown/);
    for (const kind of ['zstd', 'gzip', 'none']) {
      const shown = await ctl('describe', kind, '--source', dest);
      assert.match(shown.out, new RegExp(`^backup: +${kind}\ncluster: +${clusterId}\n`));
      assert.match(shown.out, /sha256: +[0-9a-f]{64} \(proven\)\n$/);
    }
    const metadata = JSON.parse(
      (await ctl('describe', 'zstd', '--source', dest, '-o', 'json')).out,
    );
    assert.equal(metadata.version, '1');
    assert.deepEqual([metadata.backup_id, metadata.compression], ['zstd', 'zstd']);
  });

  test('a name that is taken is replaced only by force', async () => {
    const again = await ctl('create', '--dest', dest, '--id', 'zstd');
    assert.equal(again.code, 5);
    assert.match(again.err, /exists already; --force replaces it\n$/);
    assert.equal((await ctl('create', '--dest', dest, '--id', 'zstd', '--force')).code, 0);
  });

  test('a restore brings the state back, where the cluster is named', async () => {
    await etlctl(['apply', '-f', '-', '-s', router.server], source('second'));
    const tried = await ctl('restore', 'gzip', '--source', dest, '--validate-only');
    assert.equal(tried.code, 0, tried.err);
    assert.match(tried.out, /can be restored to cluster .*; nothing was changed\n$/);
    assert.match(await names(), /second/);

    const scripted = await ctl('restore', 'gzip', '--source', dest);
    assert.deepEqual([scripted.code, scripted.out], [2, '']);
    assert.match(scripted.err, /Nobody can be asked/);
    const bare = await ctl('restore', 'gzip', '--source', dest, '--yes');
    assert.deepEqual([bare.code, bare.out], [2, '']);
    assert.match(bare.err, /--yes goes with --cluster-id/);
    const other = await ctl('restore', 'gzip', '--source', dest, '--yes', '--cluster-id', 'x');
    assert.deepEqual([other.code, other.out], [3, '']);
    const line = ['backup', 'restore', 'gzip', '--source', dest, '--server', router.server];
    const mistyped = await atTerminal(line, 'yes');
    assert.equal(mistyped.code, 1);
    assert.match(mistyped.err, /Type the id of the cluster: error: that is not/);
    assert.match(await names(), /second/);

    const typed = await atTerminal(line, clusterId);
    assert.equal(typed.code, 0, typed.err);
    assert.match(typed.err, /1 change was made since/);
    assert.equal((await names()).includes('second'), false);
    const done = await ctl('restore', 'zstd', '--source', dest, '--yes', '--cluster-id', clusterId);
    assert.equal(done.code, 0, done.err);
    assert.match(done.err, /A restore and maybe changes were made since/);
  });

  test('no copy of a backup stays at the router', async () => {
    const answer = await fetch(`${router.server}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: '{ snapshots { id } }' }),
    });
    assert.deepEqual(await answer.json(), { data: { snapshots: [] } });
  });

  test('a backup that is cut, changed or of another cluster is refused before anything is sent', async () => {
    const state = join(dest, 'none', 'state');
    const bytes = await readFile(state);
    const restore = (...more: string[]): Promise<Ran> =>
      ctl('restore', 'none', '--source', dest, '--yes', '--cluster-id', clusterId, ...more);
    await writeFile(state, bytes.subarray(0, -1));
    assert.match((await restore()).err, /is no whole backup: it has \d+ bytes, and \d+ are said/);
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    await writeFile(state, bytes);
    assert.match((await restore()).err, /its content does not match its SHA-256/);
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    await writeFile(state, bytes);
    const path = join(dest, 'none', 'metadata.json');
    const metadata = await readFile(path, 'utf8');
    await writeFile(path, metadata.replace(clusterId, 'c-other'));
    const foreign = await restore();
    assert.equal(foreign.code, 3);
    assert.match(foreign.err, /is of cluster c-other.*--allow-other-cluster/);
    await writeFile(path, metadata.replace('"version": "1"', '"version": "2"'));
    assert.match((await restore()).err, /not of a backup that this etlctl knows/);
    await writeFile(path, metadata);
  });

  test('backups are deleted, one or all but the newest, after a question', async () => {
    const asked = await ctl('delete', 'gzip', '--dest', dest);
    assert.equal(asked.code, 2);
    assert.equal((await ctl('delete', 'gzip', '--dest', dest, '--force')).code, 0);
    assert.equal((await ctl('delete', 'gzip', '--dest', dest, '--force')).code, 4);
    const cleaned = await ctl('cleanup', '--dest', dest, '--keep', '1', '--yes');
    assert.equal(cleaned.out, 'backup deleted: none\n');
    const rest = await ctl('cleanup', '--dest', dest, '--keep', '1', '--yes');
    assert.equal(rest.out, 'there are not more than 1\n');
    assert.deepEqual(await readdir(dest), ['zstd']);
  });
});

test('what is neither a folder nor a file:// URL is refused', async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['s3://bucket/x', /s3:\/\/ is not built in; give a folder or a file:\/\/ URL/],
    ['gs://bucket/x', /gs:\/\/ is not built in/],
    ['ftp://host/x', /is neither a folder nor a file:\/\/ URL/],
    ['file://host/x', /is neither a folder nor a file:\/\/ URL/],
    ['', /is neither a folder nor a file:\/\/ URL/],
  ];
  for (const [dest, message] of cases) {
    const { code, err } = await etlctl(['backup', 'list', '--dest', dest]);
    assert.equal(code, 2);
    assert.match(err, message);
  }
  const { code } = await etlctl(['backup', 'list', '--dest', '/no/such/folder']);
  assert.equal(code, 4);
  const escape = await etlctl(['backup', 'describe', '../x', '--source', '/tmp']);
  assert.equal(escape.code, 2);
});

/** A folder with one whole backup, `whole`, of nothing. */
async function folderOfOne(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'etlctl-damaged-'));
  await mkdir(join(folder, 'whole'));
  await writeFile(join(folder, 'whole', 'state'), '');
  const metadata = {
    ...{ version: '1', backup_id: 'whole', router_endpoint: 'http://localhost:8080' },
    ...{ cluster_id: 'c', commit_index: '1', term: '1', revision: '1', format_version: 1 },
    ...{ created_at: '2026-01-01T00:00:00Z', objects: 0, pipelines: 0, lanes: 0, size_bytes: 0 },
    ...{ sha256: createHash('sha256').digest('hex'), compression: 'none', file: 'state' },
    file_bytes: 0,
  };
  await writeFile(join(folder, 'whole', 'metadata.json'), JSON.stringify(metadata));
  return folder;
}

test('a damaged backup hides no other, is kept from no cleanup, and can be deleted', async (t) => {
  const folder = await folderOfOne();
  t.after(() => rm(folder, { recursive: true }));
  for (const name of ['cut', 'pipe', 'device', 'large']) await mkdir(join(folder, name));
  const metadataOf = (name: string): string => join(folder, name, 'metadata.json');
  await writeFile(metadataOf('cut'), '{');
  await promisify(execFile)('mkfifo', [metadataOf('pipe')]);
  await symlink('/dev/zero', metadataOf('device'));
  await writeFile(metadataOf('large'), '0'.repeat(70_000));
  const listed = await etlctl(['backup', 'list', '--dest', folder, '-o', 'name']);
  assert.deepEqual([listed.code, listed.out], [1, 'whole\n']);
  assert.match(listed.err, /cut\/metadata\.json is no whole backup: .*JSON/);
  assert.match(listed.err, /pipe\/metadata\.json is no whole backup: it is no regular file/);
  assert.match(listed.err, /device\/metadata\.json is no whole backup: it is no regular file/);
  assert.match(listed.err, /large\/metadata\.json is no whole backup: it is too large/);
  const cleaned = await etlctl(['backup', 'cleanup', '--dest', folder, '--keep', '1', '-y']);
  assert.deepEqual([cleaned.code, cleaned.out], [1, 'there are not more than 1\n']);
  const asked = await etlctl(['backup', 'delete', 'pipe', '--dest', folder]);
  assert.match(asked.err, /Delete backup pipe, which is damaged, for good\?/);
  for (const name of ['cut', 'pipe', 'device', 'large']) {
    const gone = await etlctl(['backup', 'delete', name, '--dest', folder, '--yes']);
    assert.equal(gone.code, 0, gone.err);
  }
  assert.deepEqual(await readdir(folder), ['whole']);
  await rm(join(folder, 'whole', 'state'));
  await symlink('/dev/zero', join(folder, 'whole', 'state'));
  const shown = await etlctl(['backup', 'describe', 'whole', '--source', folder]);
  assert.match(shown.err, /state is no whole backup: it can not be read \(it is no regular file\)/);
});

test('a folder that can not be made is an error, and no endless attempt', async () => {
  const backup = { folder: '/proc/no/such', id: 'a', force: false, compression: 'none' } as const;
  const facts = {} as NewBackup['facts'];
  const signal = new AbortController().signal;
  await assert.rejects(writeBackup({ ...backup, facts, bytes: Readable.from([]), signal }), {
    message: /^\/proc\/no\/such: ENOENT/,
  });
});

test('an interrupted backup leaves nothing, here and at the router', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'etlctl-interrupted-'));
  const interrupted = new AbortController();
  const deleted: string[] = [];
  const state = { clusterId: 'c', revision: '1', formatVersion: 1, objects: 0, pipelines: 0 };
  const snapshot = {
    ...{ id: 'one', sizeBytes: '100', sha256: '0'.repeat(64), commitIndex: '1', term: '1' },
    ...{ createdAt: '2026-01-01T00:00:00Z', state: { ...state, lanes: 0 } },
  };
  const server = createServer((request, response) => {
    if (request.method === 'GET') {
      response.write('some');
      setImmediate(() => interrupted.abort());
      return;
    }
    request.on('data', (chunk) => {
      const isDelete = String(chunk).includes('deleteSnapshot');
      if (isDelete)
        deleted.push((JSON.parse(String(chunk)) as { variables: { id: string } }).variables.id);
      const data = isDelete ? { deleteSnapshot: {} } : { createSnapshot: snapshot };
      response.end(JSON.stringify({ data }));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.close();
    server.closeAllConnections();
    await rm(folder, { recursive: true, force: true });
  });
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let told = '';
  const code = await run(['backup', 'create', '--dest', folder, '--server', address], {
    ...{ out: () => undefined, err: (text) => void (told += text), env: {}, isTty: false },
    ...{ stdin: Readable.from([]), clock: new ManualClock(0), signal: interrupted.signal },
  });
  assert.deepEqual([code, told], [1, 'error: interrupted\n']);
  assert.deepEqual(await readdir(folder), []);
  assert.deepEqual(deleted, ['one']);
});
