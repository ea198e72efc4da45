// What etlctl says of servers that are away, slow, broken or no routers at all: exit code, words, never a stack.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { etlctl } from './harness.ts';

/** A server that answers every connection's first bytes with `reply`; a function may do what it likes. */
async function startRaw(
  t: TestContext,
  reply: (socket: Socket, first: string) => void,
): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', (first: Buffer) => reply(socket, first.toString()));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const http = (body: string, status = '200 OK', more = ''): string =>
  `HTTP/1.1 ${status}\r\n${more}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`;

interface BadAnswer {
  readonly answer: string;
  readonly says: RegExp;
  readonly code?: number;
}

const noRouter = (what: string): RegExp =>
  new RegExp(
    `^error: http://127\\.0\\.0\\.1:\\d+ does not answer as an ETL Router \\(${what}\\); check --server\n$`,
  );

const cases: { readonly [name: string]: BadAnswer } = {
  'a page of HTML': {
    answer: http('<html>hello'),
    says: noRouter('HTTP 200, the answer is not JSON'),
  },
  'an error page': {
    answer: http('<html>oops', '500 Oops'),
    says: noRouter('HTTP 500, the answer is not JSON'),
  },
  'a gateway that asks to go elsewhere': {
    answer: http('', '302 Found', 'location: http://u:hunter2@other/\r\n'),
    says: noRouter('HTTP 302 to http://other/, the answer is not JSON'),
  },
  nothing: { answer: http(''), says: noRouter('HTTP 200, the answer is not JSON') },
  'the JSON null': { answer: http('null'), says: noRouter('HTTP 200, no objects in the answer') },
  'a JSON list': { answer: http('[1]'), says: noRouter('HTTP 200, no objects in the answer') },
  'data without the field': {
    answer: http('{"data":{}}'),
    says: noRouter('HTTP 200, no objects in the answer'),
  },
  'a field of another type': {
    answer: http('{"data":{"objects":3},"errors":"x"}'),
    says: noRouter('HTTP 200, no objects in the answer'),
  },
  'errors that are no errors': {
    answer: http('{"errors":[3]}'),
    says: /^error: no reason given\n/,
  },
  'another protocol': {
    answer: 'SSH-2.0-OpenSSH_9\r\n',
    says: /does not speak HTTP; is it https:\/\/\? \(HPE_\w+\); check --server\n$/,
  },
  'half of an answer': {
    answer: http('{"data":').replace('length: 8', 'length: 800'),
    says: /broke before the whole answer came \(ECONNRESET\); what was asked may have happened\n$/,
  },
  'a schema without what is asked': {
    answer: http(
      '{"errors":[{"message":"no field x","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}',
    ),
    says: /compare their versions with etlctl version \(no field x\)\n$/,
    code: 2,
  },
  'escape sequences': {
    answer: http(
      '{"errors":[{"message":"\\u001b]0;x\\u0007\\u009b31m\\u202e","extensions":{"code":"ETL_NOT_FOUND"}}]}',
    ),
    says: /^error: \\x1b\]0;x\\x07\\x9b31m\\u202e\n$/,
    code: 4,
  },
};

for (const [name, { answer, says, code = 1 }] of Object.entries(cases)) {
  test(`a server that answers ${name}`, async (t) => {
    const server = await startRaw(t, (socket) => socket.end(answer));
    const ran = await etlctl(['get', 'pipelines', '-s', server]);
    assert.deepEqual([ran.code, ran.out], [code, '']);
    assert.match(ran.err, says);
  });
}

test('a server that closes without an answer may have done what was asked', async (t) => {
  const server = await startRaw(t, (socket) => socket.destroy());
  const { code, err } = await etlctl(['pause', 'x', '-s', server]);
  assert.equal(code, 1);
  assert.match(err, /broke .*what was asked may have happened/);
});

test('a server that never answers, or never ends its answer, is left after --timeout with exit code 124', async (t) => {
  const silent = await startRaw(t, () => {});
  const endless = await startRaw(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{');
  });
  for (const server of [silent, endless]) {
    const { code, err } = await etlctl(['get', 'pipelines', '-s', server, '--timeout', '150ms']);
    assert.equal(code, 124);
    assert.match(err, /no answer from http:\/\/127\.0\.0\.1:\d+ within 0\.15s \(--timeout\)/);
  }
});

test('https to a server of plain http is told from one that is away', async (t) => {
  const server = await startRaw(t, (socket) => socket.end(http('', '400 Bad Request')));
  const { code, err } = await etlctl(['get', 'pipelines', '-s', `https://${server}`]);
  assert.equal(code, 1);
  assert.match(err, /does not speak TLS; is it http:\/\/\? \(EPROTO\)/);
});

test('a path before /graphql is kept, and an address that ends with it is taken as it is', async (t) => {
  for (const [given, path] of [
    ['', '/graphql'],
    ['/', '/graphql'],
    ['/graphql', '/graphql'],
    ['/etl/', '/etl/graphql'],
  ]) {
    let asked = '';
    const server = await startRaw(t, (socket, first) => {
      asked = first.split('\r\n', 1)[0] as string;
      socket.end(http('{"data":{"services":[]}}'));
    });
    assert.equal((await etlctl(['get', 'services', '-s', `${server}${given}`])).code, 0);
    assert.equal(asked, `POST ${path} HTTP/1.1`);
  }
});

test('addresses that are none are refused, and no password in them is shown', async () => {
  for (const server of [
    'ftp://user:hunter2@host',
    'http://user:hunter2@[x',
    'http://user:hun@ter2@[x',
    'http://us%zz:hunter2@host',
    'http://',
    '',
  ]) {
    const { code, err, out } = await etlctl(['get', 'pipelines', '-s', server]);
    assert.deepEqual([code, out], [2, ''], server);
    assert.match(err, /is no http or https URL, such as http:\/\/localhost:8080/);
    assert.doesNotMatch(err, /hunter2|ter2/);
  }
});

test('a password in ETLCTL_SERVER is in no help', async () => {
  const { out } = await etlctl(['--help'], '', { ETLCTL_SERVER: 'http://user:hunter2@host:1' });
  assert.match(out, /http:\/\/host:1/);
  assert.doesNotMatch(out, /hunter2/);
});
