import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect as connectHttp2, type ServerHttp2Session } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { bindServer, closeServer, createServer } from '@etl-router/proto/grpc';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { startServer } from './fixture.ts';

interface Listeners {
  readonly http2Servers: ReadonlyMap<unknown, { readonly sessions: Set<ServerHttp2Session> }>;
}

/** The sessions that grpc-js knows of. */
function sessionsOf(server: Server): readonly ServerHttp2Session[] {
  const { http2Servers } = server as unknown as Listeners;
  return [...http2Servers.values()].flatMap(({ sessions }) => [...sessions]);
}

async function certificate(t: TestContext): Promise<ServerCredentials> {
  const directory = await mkdtemp(join(tmpdir(), 'close-server-'));
  t.after(() => rm(directory, { recursive: true }));
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const out = ['-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=test'];
  await promisify(execFile)('openssl', ['req', '-x509', ...kind, ...out]);
  const pair = { private_key: await readFile(key), cert_chain: await readFile(cert) };
  return ServerCredentials.createSsl(null, [pair]);
}

for (const how of ['at once', 'when the calls in progress have ended']) {
  test(`a server closes ${how} though a session broke just before`, async (t) => {
    const server = createServer();
    const port = await bindServer(server, '127.0.0.1:0', ServerCredentials.createInsecure());
    const client = connectHttp2(`http://127.0.0.1:${port}`);
    t.after(() => client.destroy());
    client.on('error', () => undefined);
    await once(client, 'remoteSettings');
    const [session] = sessionsOf(server);
    assert.ok(session !== undefined);
    session.destroy();
    const signal = how === 'at once' ? AbortSignal.abort() : new AbortController().signal;
    await closeServer(server, signal);
    assert.deepEqual(sessionsOf(server), []);
  });
}

test('a server that is cut off ends connections on which nobody has said anything', async (t) => {
  const server = createServer();
  const port = await bindServer(server, '127.0.0.1:0', await certificate(t));
  const silent = connect(port, '127.0.0.1');
  silent.on('error', () => undefined);
  await once(silent, 'connect');
  // Accepted in the order they came: once the second is refused its handshake, the first is there.
  const wrong = connect(port, '127.0.0.1').end('no handshake\n').resume();
  wrong.on('error', () => undefined);
  await once(wrong, 'close');
  const ended = once(silent, 'close');
  const stop = new AbortController();
  const closing = closeServer(server, stop.signal);
  assert.equal(silent.destroyed, false);
  stop.abort();
  await Promise.all([closing, ended]);
});

test('a server that is cut off ends the calls in progress', async (t) => {
  const begun = Promise.withResolvers<AbortSignal>();
  const fixture = await startServer(t, {
    transform: {
      processBatch: (_request, { signal }) => {
        begun.resolve(signal);
        return new Promise(() => undefined);
      },
    },
  });
  const refused = assert.rejects(fixture.transform().processBatch({}), {
    code: 'ETL_UNAVAILABLE',
  });
  const signal = await begun.promise;
  const stop = new AbortController();
  const closing = closeServer(fixture.server, stop.signal);
  assert.equal(signal.aborted, false);
  stop.abort();
  await Promise.all([closing, refused]);
  assert.equal(signal.aborted, true);
});

test('a server that was never bound closes', async () => {
  await closeServer(createServer(), AbortSignal.abort());
});
