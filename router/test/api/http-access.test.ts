import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { formatAddress } from '../../src/config/parse.ts';
import { pipelineText, sinkText, sourceText } from '../server/harness.ts';
import { ReviewServer } from './access/review-server.ts';
import { type Fixture, makeConfig, makeDirectory, start } from './fixture.ts';

const rights = { viewer: ['get'], editor: ['get', 'update'], robot: ['update'], stranger: [] };

interface Closed {
  readonly fixture: Fixture;
  readonly reviews: ReviewServer;
  readonly base: string;
  /** Sends a request as the owner of that token. */
  readonly send: (token: string | undefined, path: string, init?: RequestInit) => Promise<Response>;
}

async function startClosed(t: TestContext): Promise<Closed> {
  const directory = await makeDirectory(t);
  const reviews = await ReviewServer.start(t, directory, { rights });
  for (const user of Object.keys(rights)) reviews.users.set(`${user}-token`, user);
  const fixture = await start(t, { config: makeConfig(`${directory}/data`, reviews.flags) });
  const { http } = fixture.running.addresses;
  assert(http !== undefined);
  const base = `http://${formatAddress(http)}`;
  return {
    ...{ fixture, reviews, base },
    send: (token, path, init = {}) => {
      const headers = new Headers(init.headers);
      headers.set('connection', 'close');
      headers.set('origin', 'https://elsewhere.example');
      if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
      return fetch(base + path, { ...init, headers });
    },
  };
}

function post(
  body: object | string,
  headers: { readonly [name: string]: string } = {},
): RequestInit {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: text,
  };
}

const look = { query: '{ version { version } }' };
const change = { query: 'mutation { createSnapshot(id: "made") { id } }' };
const listen = { query: 'subscription { pipelineRates(pipelineId: "shop/orders") { at } }' };
const both = { query: `query A ${look.query} mutation B { createSnapshot(id: "made") { id } }` };
const asStream = { accept: 'text/event-stream' };
const inParts = { accept: 'multipart/mixed' };

/** Every way to ask for something that is not `/health`. */
const waysIn: readonly (readonly [string, string, RequestInit?])[] = [
  ['a query', '/graphql', post(look)],
  ['a query at the root', '/', post(look)],
  ['a mutation', '/graphql', post(change)],
  ['a mutation among others', '/graphql', post({ ...both, operationName: 'B' })],
  ['a subscription', '/graphql', post(listen, asStream)],
  ['a mutation as a stream', '/graphql', post(change, asStream)],
  ['a mutation in parts', '/graphql', post(change, inParts)],
  ['several at once', '/graphql', post([look, change])],
  ['a query in the address', `/graphql?query=${encodeURIComponent(look.query)}`],
  ['a mutation in the address', `/graphql?query=${encodeURIComponent(change.query)}`],
  ['a token in the address', '/graphql?access_token=editor-token&query={__typename}'],
  ['the page for people', '/graphql', { headers: { accept: 'text/html' } }],
  [
    'a form',
    '/graphql',
    post('query={__typename}', { 'content-type': 'application/x-www-form-urlencoded' }),
  ],
  [
    'a form with files',
    '/graphql',
    post('--x--', { 'content-type': 'multipart/form-data; boundary=x' }),
  ],
  ['nothing', '/graphql', post('')],
  ['what is no JSON', '/graphql', post('{')],
  ['the schema', '/graphql', post({ query: '{ __schema { types { name } } }' })],
  [
    'what another origin may',
    '/graphql',
    { method: 'OPTIONS', headers: { 'access-control-request-method': 'POST' } },
  ],
  ['a snapshot', '/backups/one'],
  ['to put a snapshot', '/backups/one?size=1', { method: 'PUT', body: 'x' }],
  ['another way to write it', '/%67raphql', post(look)],
  ['what there is not', '/admin'],
  ['health below GraphQL', '/graphql/health'],
];

test('who shows no token gets 401 whatever is asked, and is told how to come in; health stays open', async (t) => {
  const { send, fixture, reviews } = await startClosed(t);
  for (const [what, path, init] of waysIn) {
    for (const token of [undefined, 'forged']) {
      const response = await send(token, path, init);
      assert.equal(response.status, 401, what);
      assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer realm=/, what);
      assert.equal(response.headers.get('access-control-allow-origin'), null, what);
      const { code, errors } = (await response.json()) as {
        code: string;
        errors: { extensions: { code: string } }[];
      };
      assert.deepEqual([code, errors[0]?.extensions.code], Array(2).fill('ETL_UNAUTHENTICATED'));
    }
  }
  assert.deepEqual(await fixture.running.router.backups.list(), []);
  assert.equal((await send(undefined, '/health')).status, 200);
  assert.equal(
    reviews.asked.every((question) => question === 'who is that'),
    true,
  );
});

test('a WebSocket is not opened, with a token or without', async (t) => {
  const { base } = await startClosed(t);
  for (const [headers, status] of [
    [{}, 401],
    [{ authorization: 'Bearer viewer-token' }, 200],
  ] as const) {
    const answered = await new Promise<number | undefined>((resolve, reject) => {
      const upgrade = {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
      };
      const key = { 'sec-websocket-key': Buffer.alloc(16).toString('base64') };
      const outgoing = request(`${base}/graphql`, { headers: { ...upgrade, ...key, ...headers } });
      outgoing.once('upgrade', () => reject(new Error('a WebSocket opened')));
      outgoing.once('response', (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      outgoing.once('error', reject);
      outgoing.end();
    });
    assert.equal(answered, status);
  }
});

test('two tokens at once are none', async (t) => {
  const { base } = await startClosed(t);
  const { hostname, port } = new URL(base);
  const socket = connect(Number(port), hostname);
  const header = 'Authorization: Bearer editor-token\r\n';
  socket.end(`GET /graphql?query={__typename} HTTP/1.1\r\nHost: a\r\n${header}${header}\r\n`);
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  assert.match(text, /^HTTP\/1.1 401 /);
});

test('who may look may query and listen, and gets 403 for every change, which is not made', async (t) => {
  const { send, fixture } = await startClosed(t);
  const answer = await send('viewer-token', '/graphql', post(look));
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { data: { version: { version: '1.2.3' } } });
  const first = await send('viewer-token', '/graphql', post({ ...both, operationName: 'A' }));
  assert.equal(first.status, 200);
  for (const manifest of [sourceText, sinkText, pipelineText]) {
    const query =
      'mutation Apply($manifest: String!) { applyObject(input: { manifest: $manifest }) { success } }';
    const applied = await send(
      'editor-token',
      '/graphql',
      post({ query, variables: { manifest } }),
    );
    assert.deepEqual(await applied.json(), { data: { applyObject: { success: true } } });
  }
  const stream = await send('viewer-token', '/graphql', post(listen, asStream));
  assert.deepEqual([stream.status, stream.headers.get('content-type')], [200, 'text/event-stream']);
  await stream.body?.cancel();
  for (const init of [
    post(change),
    post(change, asStream),
    post(change, inParts),
    post(change, { accept: 'application/graphql-response+json' }),
    post({ ...both, operationName: 'B' }),
  ]) {
    const response = await send('viewer-token', '/graphql', init);
    assert.equal(response.status, 403);
    const text = await response.text();
    assert.match(text, /viewer may not update etlrouterclusters\/graphql/);
    assert.match(text, /ETL_PERMISSION_DENIED/);
  }
  const byAddress = await send(
    'viewer-token',
    `/graphql?query=${encodeURIComponent(change.query)}`,
  );
  assert.equal(byAddress.status, 405);
  const batch = await send('viewer-token', '/graphql', post([change, change]));
  assert.equal(batch.status, 400);
  assert.equal((await send('viewer-token', '/backups/one')).status, 403);
  assert.equal(
    (await send('viewer-token', '/backups/one', { method: 'PUT', body: 'x' })).status,
    403,
  );
  assert.deepEqual(await fixture.running.router.backups.list(), []);
});

test('who may change may, and takes snapshots along', async (t) => {
  const { send } = await startClosed(t);
  const made = await send('editor-token', '/graphql', post(change));
  assert.deepEqual(
    [made.status, await made.json()],
    [200, { data: { createSnapshot: { id: 'made' } } }],
  );
  assert.equal((await send('editor-token', '/backups/made')).status, 200);
  assert.equal(
    (await send('robot-token', '/graphql', post({ query: change.query.replace('made', 'two') })))
      .status,
    200,
  );
  assert.equal((await send('robot-token', '/graphql', post(look))).status, 403);
  assert.equal((await send('robot-token', '/graphql', post(listen, asStream))).status, 403);
});

test('somebody who is known and may do nothing gets 403 before anything is read', async (t) => {
  const { send } = await startClosed(t);
  for (const [what, path, init] of waysIn)
    assert.equal((await send('stranger-token', path, init)).status, 403, what);
});

test('while the API server is away nobody new comes in, and is told to come again', async (t) => {
  const { send, reviews } = await startClosed(t);
  reviews.isAway = true;
  for (const [what, path, init] of waysIn) {
    const response = await send('editor-token', path, init);
    assert.equal(response.status, 503, what);
    assert.equal(response.headers.get('retry-after'), '5', what);
  }
  reviews.isAway = false;
  assert.equal((await send('editor-token', '/graphql', post(look))).status, 200);
  reviews.isAway = true;
  assert.equal((await send('editor-token', '/graphql', post(look))).status, 200, 'is remembered');
});
