import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { json } from 'node:stream/consumers';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { Gate } from '../../../src/api/access/gate.ts';
import { KubernetesAuthority } from '../../../src/api/access/kubernetes-authority.ts';

interface Asked {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly spec: { readonly [key: string]: unknown };
}

interface Answer {
  readonly code: number;
  readonly body: string;
}

interface World {
  readonly authority: KubernetesAuthority;
  readonly asked: Asked[];
  /** What the API server says to a review. */
  answer: (asked: Asked) => Answer | 'nothing';
  readonly directory: string;
}

const viewer = {
  username: 'system:serviceaccount:shop:viewer',
  uid: 'u1',
  groups: ['system:serviceaccounts'],
  extra: { 'authentication.kubernetes.io/pod-name': ['web-1'] },
};

function reply(status: object): Answer {
  return { code: 201, body: JSON.stringify({ kind: 'Review', status }) };
}

/** As much of a request as a gate looks at. */
function requestWith(
  ...authorization: (string | undefined)[]
): Pick<IncomingMessage, 'headers' | 'headersDistinct'> {
  const [first] = authorization;
  if (first === undefined) return { headers: {}, headersDistinct: {} };
  return {
    headers: { authorization: first },
    headersDistinct: { authorization: authorization as string[] },
  };
}

/** A server with a certificate of its own that answers reviews as it is told. */
async function withApiServer(
  run: (world: World) => Promise<void>,
  audiences: readonly string[] = [],
): Promise<void> {
  const directory = await mkdtemp(`${tmpdir()}/etl-review-`);
  const [caFile, keyFile] = [`${directory}/ca.pem`, `${directory}/key.pem`];
  const tokenFile = `${directory}/token`;
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-keyout', keyFile, '-out', caFile, '-days', '2', '-subj', '/CN=kubernetes'],
      ...['-addext', 'subjectAltName=IP:127.0.0.1'],
    ],
    { stdio: 'ignore' },
  );
  await writeFile(tokenFile, 'own-token-1\n');
  const asked: Asked[] = [];
  const tls = { key: await readFile(keyFile), cert: await readFile(caFile) };
  const server = createServer(tls, (request, response) => {
    void readReview(request).then((review) => {
      asked.push(review);
      const answer = world.answer(review);
      if (answer === 'nothing') return;
      response.statusCode = answer.code;
      response.end(answer.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const authority = new KubernetesAuthority({
    ...{ host: '127.0.0.1', port, caFile, tokenFile, audiences, timeoutMs: 2000 },
    ...{ namespace: 'shop', cluster: 'main' },
  });
  const world: World = { authority, asked, answer: () => reply({}), directory };
  try {
    await run(world);
  } finally {
    server.closeAllConnections();
    server.close();
    await rm(directory, { recursive: true });
  }
}

async function readReview(request: IncomingMessage): Promise<Asked> {
  const { spec } = (await json(request)) as { readonly spec: Asked['spec'] };
  return { path: request.url ?? '', authorization: request.headers.authorization, spec };
}

test('a token is reviewed with the router’s own, which is read again when it was renewed', async () => {
  await withApiServer(async (world) => {
    world.answer = () => reply({ authenticated: true, user: viewer });
    const { username: name, ...rest } = viewer;
    assert.deepEqual(await world.authority.authenticate('t1'), { name, ...rest });
    await writeFile(`${world.directory}/token`, 'own-token-2');
    await world.authority.authenticate('t2');
    assert.deepEqual(world.asked, [
      {
        path: '/apis/authentication.k8s.io/v1/tokenreviews',
        authorization: 'Bearer own-token-1',
        spec: { token: 't1' },
      },
      {
        path: '/apis/authentication.k8s.io/v1/tokenreviews',
        authorization: 'Bearer own-token-2',
        spec: { token: 't2' },
      },
    ]);
  });
});

test('only a review that says yes, with a name, is a caller', async () => {
  await withApiServer(async (world) => {
    for (const status of [
      {},
      { authenticated: false, user: viewer },
      { authenticated: true },
      { authenticated: true, user: {} },
      { authenticated: 'true', user: viewer },
      { authenticated: false, error: 'expired' },
    ]) {
      world.answer = () => reply(status);
      assert.equal(await world.authority.authenticate('t'), undefined, inspect(status));
    }
  });
});

test('a token for somebody else is nobody’s, also where the server does not know audiences', async () => {
  await withApiServer(
    async (world) => {
      for (const audiences of [undefined, [], ['https://kubernetes.default.svc']]) {
        world.answer = () => reply({ authenticated: true, user: viewer, audiences });
        assert.equal(await world.authority.authenticate('t'), undefined);
      }
      const audiences = ['etl-router.shop.main'];
      world.answer = () => reply({ authenticated: true, user: viewer, audiences });
      assert.equal((await world.authority.authenticate('t'))?.name, viewer.username);
      assert.deepEqual(world.asked[0]?.spec, { token: 't', audiences });
    },
    ['etl-router.shop.main'],
  );
});

test('what a caller may do is asked of the cluster’s own resource, with all that is known of the caller', async () => {
  await withApiServer(async (world) => {
    const caller = { name: 'ann', uid: 'u', groups: ['staff'], extra: { a: ['b'] } };
    for (const [status, expected] of [
      [{ allowed: true }, true],
      [{ allowed: false }, false],
      [{}, false],
      [{ allowed: true, denied: true }, false],
    ] as const) {
      world.answer = () => reply(status);
      assert.equal(await world.authority.allows(caller, 'update'), expected);
    }
    assert.deepEqual(world.asked[0]?.spec, {
      ...{ user: 'ann', uid: 'u', groups: ['staff'], extra: { a: ['b'] } },
      resourceAttributes: {
        ...{ group: 'etl.router', version: 'v1', resource: 'etlrouterclusters' },
        ...{ subresource: 'graphql', namespace: 'shop', name: 'main', verb: 'update' },
      },
    });
  });
});

test('an API server that can not answer allows nothing, and no error holds a token', async () => {
  await withApiServer(async (world) => {
    const answers: readonly (Answer | 'nothing')[] = [
      { code: 500, body: 'secret-token' },
      { code: 403, body: '{}' },
      { code: 201, body: 'not json secret-token' },
      { code: 201, body: '{}' },
      { code: 201, body: `"${'x'.repeat(2 * 1024 * 1024)}"` },
      'nothing',
    ];
    for (const answer of answers) {
      world.answer = () => answer;
      const gate = new Gate(world.authority);
      const headers = { authorization: 'Bearer secret-token' };
      const failure = await gate.callerOf(requestWith(headers.authorization)).then(
        () => undefined,
        (error: unknown) => error as Error & { code: string },
      );
      assert.equal(failure?.code, 'ETL_UNAVAILABLE');
      assert.doesNotMatch(failure.message, /secret-token|own-token/);
    }
  });
});

test('who shows no token, or something else, is told what is needed', async () => {
  await withApiServer(async (world) => {
    const gate = new Gate(world.authority);
    const refusalOf = (authorization?: string) => gate.callerOf(requestWith(authorization));
    await assert.rejects(refusalOf(), {
      code: 'ETL_UNAUTHENTICATED',
      message: /kubectl create token/,
    });
    for (const header of ['', 'Bearer', 'Basic abc', 'Bearer a b', `Bearer ${'a'.repeat(20_000)}`])
      await assert.rejects(refusalOf(header), {
        code: 'ETL_UNAUTHENTICATED',
        message: /Bearer <token>/,
      });
    await assert.rejects(gate.callerOf(requestWith('Bearer a', 'Bearer b')), {
      code: 'ETL_UNAUTHENTICATED',
    });
    assert.equal(world.asked.length, 0);
  });
});
