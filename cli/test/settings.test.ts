// The file of etlctl: what it may say, what wins over it, and what is said of one that is wrong.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { etlctl } from './harness.ts';

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'etl-cli-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

/** A router that has no services, and the credentials it was shown. */
async function startRouter(t: TestContext): Promise<{ server: string; shown: string[] }> {
  const shown: string[] = [];
  const server = createServer((request, response) => {
    shown.push(request.headers.authorization ?? '');
    request.resume().on('end', () => response.end('{"data":{"services":[]}}'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, shown };
}

test('the file in the home folder says where the router is, and a variable wins over it', async (t) => {
  const { server } = await startRouter(t);
  const home = await folderOf(t);
  await mkdir(join(home, '.config/etlctl'), { recursive: true });
  await writeFile(join(home, '.config/etlctl/config.yaml'), `server: ${server}\n`);
  assert.equal((await etlctl(['get', 'services'], '', { HOME: home })).code, 0);
  const moved = { HOME: '/no/such', XDG_CONFIG_HOME: join(home, '.config') };
  assert.equal((await etlctl(['get', 'services'], '', moved)).code, 0);
  const variable = { HOME: home, ETLCTL_SERVER: 'http://127.0.0.1:1' };
  assert.match(
    (await etlctl(['get', 'services'], '', variable)).err,
    /can not reach the router at http:\/\/127\.0\.0\.1:1 /,
  );
});

test('a file that says what nobody understands is refused by name', async (t) => {
  const path = join(await folderOf(t), 'config.yaml');
  const cases: readonly (readonly [string, RegExp])[] = [
    ['sever: http://a\n', /there is no "sever"; there are server, kubeconfig, context, cluster/],
    ['server: 3\n', /server needs a text/],
    ['- server\n', /needs keys and values/],
    ['server: [\n', /config\.yaml: /],
    ['server: http://a\ncluster: main\n', /server excludes cluster and context/],
    ['namespace: Shop\n', /namespace: "Shop" is no namespace/],
    ['server: a\n---\nserver: b\n', /more than one document/],
    [`server: ${'a'.repeat(70_000)}\n`, /larger than 64 KiB/],
  ];
  for (const [text, says] of cases) {
    await writeFile(path, text);
    const { code, err } = await etlctl(['get', 'services'], '', { ETLCTL_CONFIG: path });
    assert.equal(code, 2, text.slice(0, 40));
    assert.match(err, says);
  }
  await writeFile(path, '# nothing yet\n');
  const empty = await etlctl(['get', 'services', '-s', '127.0.0.1:1'], '', { ETLCTL_CONFIG: path });
  assert.equal(empty.code, 1);
});

test('a file that was named has to be there', async () => {
  const { code, err } = await etlctl(['get', 'services'], '', { ETLCTL_CONFIG: '/no/such.yaml' });
  assert.deepEqual([code, err], [2, 'error: /no/such.yaml: can not be read (ENOENT)\n']);
});

test('a token of the environment is shown to a router at a URL, and never printed', async (t) => {
  const { server, shown } = await startRouter(t);
  const args = ['get', 'services', '-s', server];
  assert.equal((await etlctl(args, '', { ETLCTL_TOKEN: 'secret-1' })).code, 0);
  assert.deepEqual(shown, ['Bearer secret-1']);
  const bad = await etlctl(args, '', { ETLCTL_TOKEN: 'secret\n2' });
  assert.deepEqual(
    [bad.code, bad.err],
    [
      2,
      'error: the token has characters that no token has: look at ETLCTL_TOKEN, or at the token of the kubeconfig\n',
    ],
  );
});
