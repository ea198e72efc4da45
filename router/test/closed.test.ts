// A router as it runs in a cluster: certificates on both gRPC ports, tokens on HTTP. What it was told in confidence is
// looked for in all that it leaves behind.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { connect, type PeerCertificate } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { RouterAdmin } from '@etl-router/proto/admin';
import { createClient } from '@etl-router/proto/grpc';
import { ChannelCredentials } from '@grpc/grpc-js';
import type { TlsFiles } from '../src/tls/certificates.ts';
import { ReviewServer } from './api/access/review-server.ts';
import { atEnd, makeDirectory } from './api/fixture.ts';
import { Authority } from './authority.ts';
import { sourceText } from './server/harness.ts';

const program = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const serverNames = 'DNS:localhost,IP:127.0.0.1,DNS:1';
const secrets = {
  token: 'canary-of-a-caller-9f1c',
  forged: 'canary-of-nobody-77aa',
  own: 'canary-of-the-router-31d0',
  key: 'canary-in-a-key-file-b2e4',
};

interface Ready {
  readonly grpc: string;
  readonly http: string;
  readonly metrics: string;
}

class Program {
  readonly ready: Promise<Ready>;
  readonly ended: Promise<unknown>;
  output = '';
  readonly #kill: (signal: NodeJS.Signals) => boolean;

  constructor(t: TestContext, args: readonly string[]) {
    const child = spawn(process.execPath, ['--conditions=etl-source', program, ...args]);
    this.#kill = (signal) => child.kill(signal);
    atEnd(t, () => void child.kill('SIGKILL'));
    this.ended = once(child, 'close');
    child.stdout.on('data', (bytes: Buffer) => (this.output += String(bytes)));
    const ready = Promise.withResolvers<Ready>();
    this.ready = ready.promise;
    createInterface({ input: child.stderr }).on('line', (line) => {
      this.output += `${line}\n`;
      if (line.includes('"the router is ready"')) ready.resolve(JSON.parse(line) as Ready);
    });
  }

  async stop(): Promise<string> {
    this.#kill('SIGTERM');
    await this.ended;
    return this.output;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert(typeof address === 'object' && address !== null);
  server.close();
  await once(server, 'close');
  return address.port;
}

function tlsFlags(prefix: 'raft' | 'tls', { caFile, certFile, keyFile }: TlsFiles): string[] {
  const files = { 'ca-file': caFile, 'cert-file': certFile, 'key-file': keyFile };
  return Object.entries(files).flatMap(([name, path]) => [`--${prefix}-${name}`, path]);
}

interface Closed {
  readonly directory: string;
  readonly authority: Authority;
  readonly server: TlsFiles;
  readonly args: readonly string[];
}

async function prepare(t: TestContext): Promise<Closed> {
  const directory = await makeDirectory(t);
  const authority = await Authority.create(directory);
  const server = await authority.issue('server', serverNames);
  const rights = { editor: ['get', 'update'] };
  const reviews = await ReviewServer.start(t, directory, { rights, ownToken: secrets.own });
  reviews.users.set(secrets.token, 'editor');
  const raftAddress = `127.0.0.1:${await freePort()}`;
  const place = ['--node-id', '1', '--peers', `1@${raftAddress}`, '--raft-addr', raftAddress];
  const ports = ['listen', 'http', 'metrics'].flatMap((name) => [`--${name}-addr`, '127.0.0.1:0']);
  const access = Object.entries(reviews.flags).flatMap(([name, value]) => [`--${name}`, value]);
  const tls = [...tlsFlags('raft', server), ...tlsFlags('tls', server)];
  const rest = ['--data-dir', `${directory}/data`, '--log-level', 'trace'];
  return { directory, authority, server, args: [...place, ...ports, ...access, ...tls, ...rest] };
}

async function pemOf(files: TlsFiles): Promise<[ca: Buffer, key: Buffer, cert: Buffer]> {
  const { caFile, keyFile, certFile } = files;
  return [await readFile(caFile), await readFile(keyFile), await readFile(certFile)];
}

/** Asks for everything that a caller can, rightly and wrongly; what it was answered. */
async function askAll({ http, grpc, metrics }: Ready, operator: TlsFiles): Promise<string> {
  const heard: string[] = [];
  const post = async (query: string, authorization?: string): Promise<number> => {
    const response = await fetch(`http://${http}/graphql?access_token=${secrets.forged}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(authorization && { authorization }) },
      body: JSON.stringify({ query, variables: { manifest: sourceText } }),
    });
    heard.push(await response.text());
    return response.status;
  };
  const apply =
    'mutation A($manifest: String!) { applyObject(input: { manifest: $manifest }) { success message } }';
  assert.equal(await post(apply, `Bearer ${secrets.token}`), 200);
  assert.equal(
    await post(
      '{ clusterStatus { members { name address } } operationalErrors { message } }',
      `Bearer ${secrets.token}`,
    ),
    200,
  );
  assert.equal(await post(apply, `Bearer ${secrets.forged}`), 401);
  assert.equal(await post(apply, `Basic ${secrets.forged}`), 401);
  assert.equal(await post(apply, `Bearer ${secrets.forged} ${secrets.token}`), 401);
  assert.equal(await post(apply), 401);
  for (const path of ['/metrics', '/readyz', '/livez'])
    heard.push(await (await fetch(`http://${metrics}${path}`)).text());
  heard.push(await (await fetch(`http://${http}/health`)).text());
  const options = { channelOptions: { 'grpc.ssl_target_name_override': 'localhost' } };
  const credentials = ChannelCredentials.createSsl(...(await pemOf(operator)));
  const admin = createClient(RouterAdmin, grpc, credentials, options);
  const metadata = { 'etl-operator-epoch': '4', authorization: `Bearer ${secrets.forged}` };
  const { members, operatorEpoch } = await admin.getClusterStatus({}, { metadata });
  heard.push(members.map(({ name, address }) => `${name} ${address}`).join());
  assert.equal(operatorEpoch, 0n);
  const { samples } = await admin.getMetrics({}, { metadata });
  heard.push(JSON.stringify(samples));
  await admin
    .deleteObject({ name: { kind: 'EtlSource', name: 'none' } }, { metadata })
    .catch((error: Error) => heard.push(String(error)));
  assert.equal((await admin.getClusterStatus({})).operatorEpoch, 4n);
  admin.close();
  return heard.join('\n');
}

/** The certificate that a port shows. */
async function shownAt(address: string, files: TlsFiles): Promise<PeerCertificate> {
  const [ca, key, cert] = await pemOf(files);
  const [host = '', port] = address.split(':');
  const socket = connect({ host, port: Number(port), ca, key, cert, ALPNProtocols: ['h2'] });
  try {
    await once(socket, 'secureConnect');
    return socket.getPeerCertificate();
  } finally {
    socket.destroy();
  }
}

async function filesBelow(directory: string): Promise<readonly [path: string, bytes: Buffer][]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(
    files.map(async (path): Promise<[string, Buffer]> => [path, await readFile(path)]),
  );
}

/** What must not be found: tokens, and each line of a key. */
async function canaries(...keyFiles: readonly string[]): Promise<readonly string[]> {
  const keys = await Promise.all(keyFiles.map((path) => readFile(path, 'utf8')));
  const lines = keys.flatMap((pem) =>
    pem.split('\n').filter((line) => /^[\w+/=]{20,}$/.test(line)),
  );
  assert(lines.length >= keyFiles.length, 'a key has lines');
  return [...Object.values(secrets), ...lines];
}

test('tokens and keys are in no log, no file and no answer, whatever is asked', async (t) => {
  const { directory, authority, server, args } = await prepare(t);
  const operator = await authority.issue('operator', 'URI:etl-router://operator');
  const running = new Program(t, args);
  const heard = await askAll(await running.ready, operator);
  const told = await running.stop();
  const files = await filesBelow(`${directory}/data`);
  const holds = (text: string): readonly string[] =>
    files.filter(([, bytes]) => bytes.includes(text)).map(([path]) => path);
  assert(holds('EtlSource').length > 0, 'the search finds what is stored');
  assert.match(told, /"the router stops"/);
  for (const secret of await canaries(server.keyFile, operator.keyFile)) {
    assert.deepEqual(holds(secret), [], secret);
    assert.equal(told.includes(secret), false, `a log has ${secret}`);
    assert.equal(heard.includes(secret), false, `an answer has ${secret}`);
  }
});

test('a certificate that is renewed is shown to whoever comes next, without a restart', async (t) => {
  const { authority, server, args } = await prepare(t);
  const operator = await authority.issue('operator', 'URI:etl-router://operator');
  const { ready } = new Program(t, args);
  const { grpc } = await ready;
  const before = await shownAt(grpc, operator);
  const renewed = await authority.issue('renewed', serverNames);
  await copyFile(renewed.certFile, server.certFile);
  await copyFile(renewed.keyFile, server.keyFile);
  const endMs = performance.now() + 60_000;
  while ((await shownAt(grpc, operator)).serialNumber === before.serialNumber) {
    assert(performance.now() < endMs, 'the old certificate is still shown after a minute');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
});

test('a key that can not be read ends the start, and is not shown', async (t) => {
  const { server, args } = await prepare(t);
  await writeFile(
    server.keyFile,
    `-----BEGIN PRIVATE KEY-----\n${secrets.key}\n-----END PRIVATE KEY-----\n`,
  );
  const program = new Program(t, args);
  assert.deepEqual(await program.ended, [78, null]);
  assert.match(program.output, /ETL_CONFIG_INVALID: certificates of the .*server\.key/);
  assert.equal(program.output.includes(secrets.key), false);
});
