// What a caller sees of a unary call answered directly, and of the same one answered by grpc-js: raw requests over
// HTTP/2, so that not even the order of headers can differ unseen.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { type TestContext, test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { EtlError } from '@etl-router/core';
import {
  CheckpointService,
  type GetCheckpointRequest,
  GetCheckpointRequestSchema,
  type GetCheckpointResponseSchema,
} from '@etl-router/proto/checkpoint';
import {
  addService,
  bindServer,
  type CallContext,
  closeServer,
  createServer,
  encodeMessage,
  type Implementation,
} from '@etl-router/proto/grpc';
import { Server, ServerCredentials } from '@grpc/grpc-js';

const limit = 1000;

type Answer = MessageInitShape<typeof GetCheckpointResponseSchema>;

const absent = Object.fromEntries(
  Object.keys(CheckpointService.method).map((name) => [name, () => ({})]),
) as unknown as Implementation<typeof CheckpointService>;

interface Seen {
  readonly headers: readonly [string, unknown][];
  readonly trailers: readonly [string, unknown][];
  readonly body: string;
  readonly code: number;
}

/** Serves the same by both. */
async function both(
  t: TestContext,
  handle: (serviceId: string, context: CallContext) => Promise<Answer>,
): Promise<readonly { readonly name: string; readonly port: number }[]> {
  const bounds = {
    'grpc.max_receive_message_length': limit,
    'grpc.max_send_message_length': limit,
    'grpc.enable_channelz': 0,
  };
  const servers = [
    { name: 'direct', server: createServer({ maxMessageBytes: limit }) },
    { name: 'grpc-js', server: new Server(bounds) },
  ];
  return Promise.all(
    servers.map(async ({ name, server }) => {
      const getCheckpoint = (
        { serviceId }: GetCheckpointRequest,
        context: CallContext,
      ): Promise<Answer> => handle(serviceId, context);
      const service = { getCheckpoint } as Partial<Implementation<typeof CheckpointService>>;
      addService(server, CheckpointService, { ...absent, ...service });
      const port = await bindServer(server, '127.0.0.1:0', ServerCredentials.createInsecure());
      t.after(() => closeServer(server, AbortSignal.abort()));
      return { name, port };
    }),
  );
}

const path = '/etl.checkpoint.v1.CheckpointService/GetCheckpoint';
const usual: OutgoingHttpHeaders = {
  ':method': 'POST',
  ':path': path,
  'content-type': 'application/grpc',
  te: 'trailers',
};

function framed(message: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

const request = (serviceId: string): Buffer =>
  framed(encodeMessage(GetCheckpointRequestSchema, { serviceId }));

/** One call of raw pieces. */
async function ask(
  port: number,
  pieces: readonly Buffer[],
  headers: OutgoingHttpHeaders = {},
): Promise<Seen> {
  const session = connect(`http://127.0.0.1:${port}`);
  const stream = session.request({ ...usual, ...headers });
  let [first, trailers]: [IncomingHttpHeaders, IncomingHttpHeaders] = [{}, {}];
  const chunks: Buffer[] = [];
  stream.on('response', (all) => (first = all));
  stream.on('trailers', (all) => (trailers = all));
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => undefined);
  const closed = once(stream, 'close');
  for (const piece of pieces) {
    await new Promise((resolve) => stream.write(piece, resolve));
  }
  stream.end();
  await closed;
  session.destroy();
  const told = (all: IncomingHttpHeaders): [string, unknown][] =>
    Object.entries(all).filter(([name]) => name !== 'date');
  const body = Buffer.concat(chunks).toString('hex');
  return { headers: told(first), trailers: told(trailers), body, code: stream.rstCode };
}

/** What both answered, once it is the same. */
async function same(
  servers: readonly { readonly name: string; readonly port: number }[],
  pieces: readonly Buffer[],
  headers: OutgoingHttpHeaders = {},
): Promise<Seen> {
  const [direct, other] = await Promise.all(servers.map(({ port }) => ask(port, pieces, headers)));
  assert(direct !== undefined);
  assert.deepEqual(direct, other);
  return direct;
}

const statusOf = ({ headers, trailers }: Seen): unknown =>
  new Map([...headers, ...trailers]).get('grpc-status');

test('an answer is the same, however its request is cut', async (t) => {
  const servers = await both(t, async (serviceId) => ({ checkpoint: { serviceId } }));
  const whole = request('s');
  const answer = await same(servers, [whole]);
  assert.equal(statusOf(answer), '0');
  assert.notEqual(answer.body, '');
  const cuts = [[2], [5], [6], [1, 2, 3, 4, 5, 6]];
  for (const cut of cuts) {
    const pieces = [0, ...cut].map((from, at) => whole.subarray(from, [...cut, whole.length][at]));
    assert.deepEqual(await same(servers, pieces), answer);
  }
  assert.deepEqual(
    await same(servers, [whole], { 'content-type': 'application/grpc+proto' }),
    answer,
  );
  assert.equal(statusOf(await same(servers, [framed(Buffer.alloc(0))])), '0');
});

test('an error is the same: code, words, details, and what is a defect', async (t) => {
  const servers = await both(t, async (session) => {
    if (session === 'defect') throw new Error('not to be seen');
    throw new EtlError('ETL_FENCED', `ü % of ${session}`, { details: { epoch: 7 } });
  });
  assert.equal(statusOf(await same(servers, [request('x')])), '9');
  assert.equal(statusOf(await same(servers, [request('defect')])), '13');
  assert.equal(statusOf(await same(servers, [framed(Buffer.from([255, 255]))])), '3');
});

test('what is no whole request is refused alike', async (t) => {
  const servers = await both(t, async () => ({}));
  assert.equal(statusOf(await same(servers, [])), '12', 'nothing');
  assert.equal(statusOf(await same(servers, [request('abc').subarray(0, 6)])), '12', 'a part');
  assert.equal(statusOf(await same(servers, [request('a'), request('b')])), '12', 'two');
  const large = framed(Buffer.alloc(limit + 1));
  assert.equal(
    statusOf(await same(servers, [large.subarray(0, 9)])),
    '8',
    'too large by its prefix',
  );
});

test('an answer above the limit is refused alike', async (t) => {
  const servers = await both(t, async () => ({ checkpoint: { serviceId: 'x'.repeat(limit) } }));
  assert.equal(statusOf(await same(servers, [request('a')])), '8');
});

test('headers that are unusual are answered alike', async (t) => {
  const servers = await both(t, async () => ({}));
  for (const headers of [
    { 'content-type': 'application/json' },
    { 'content-type': 'application/grpc; charset=utf-8' },
    { 'grpc-timeout': 'soon' },
    { 'grpc-timeout': '10S' },
    { 'grpc-encoding': 'gzip' },
    { 'grpc-encoding': 'unknown' },
    { 'grpc-encoding': 'identity' },
    { ':path': '/etl.checkpoint.v1.CheckpointService/NoSuchMethod' },
  ]) {
    await same(servers, [request('a')], headers);
  }
  await same(servers, [framed(Buffer.from([0]), 1)], { 'grpc-encoding': 'unknown' });
});

test('a deadline ends a call alike, and its handler hears of it', async (t) => {
  let heard = 0;
  const servers = await both(
    t,
    (_, { signal }) =>
      new Promise<Answer>((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          heard += 1;
          reject(signal.reason);
        }),
      ),
  );
  const answer = await same(servers, [request('a')], { 'grpc-timeout': '20m' });
  assert.equal(statusOf(answer), '4');
  while (heard < 2) await new Promise((resolve) => setImmediate(resolve));
});

test('a caller that leaves is told to the handler, one that was answered is not', async (t) => {
  const told: string[] = [];
  let begun = Promise.withResolvers<void>();
  const servers = await both(t, async (session, { signal }) => {
    signal.addEventListener('abort', () => told.push(session));
    if (session === 'answered') return {};
    begun.resolve();
    return await new Promise<Answer>(() => undefined);
  });
  for (const { port } of servers) {
    await ask(port, [request('answered')]);
    const session = connect(`http://127.0.0.1:${port}`);
    const stream = session.request(usual);
    stream.on('error', () => undefined);
    stream.end(request('left'));
    await begun.promise;
    begun = Promise.withResolvers();
    stream.close(constants.NGHTTP2_CANCEL);
    const before = told.length;
    while (told.length === before) await new Promise((resolve) => setImmediate(resolve));
    session.destroy();
  }
  assert.deepEqual(told, ['left', 'left']);
});

test('a handler is told the same of its caller', async (t) => {
  const seen: unknown[] = [];
  const servers = await both(t, async (_, context) => {
    const { peer, metadata } = context;
    const headers = ['x-etl-consistency', 'x-twice', 'te', 'none'].map((name) =>
      context.header(name),
    );
    seen.push([peer.replace(/\d+$/, ''), metadata.getMap(), headers, context.certificate()]);
    return {};
  });
  await same(servers, [request('a')], {
    'x-etl-consistency': 'stale',
    'x-twice': ['a', 'b'],
    'grpc-timeout': '5S',
    'grpc-accept-encoding': 'gzip',
    'accept-encoding': 'gzip',
    'a-bin': 'AQID',
  });
  assert.equal(seen.length, 2);
  assert.deepEqual(seen[0], seen[1]);
  assert.deepEqual((seen[0] as unknown[])[2], ['stale', 'a, b', undefined, undefined]);
});
