import assert from 'node:assert/strict';
import { mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { etlctl } from './harness.ts';

const away = ['--server', 'http://127.0.0.1:1'];
const source = `apiVersion: etl.router/v1
kind: EtlSource
metadata: {name: numbers}
spec: {generator: {}}
`;

test('no command, an unknown command and an unknown flag are usage errors with exit code 2', async () => {
  for (const args of [['aply'], ['get', 'pipelines', '--bogus'], ['get']]) {
    const { code, err, out } = await etlctl(args);
    assert.equal(code, 2, args.join(' '));
    assert.notEqual(err, '');
    assert.equal(out, '');
  }
  assert.match((await etlctl(['aply'])).err, /Did you mean apply/);
});

test('help and version end with 0', async () => {
  assert.equal((await etlctl(['--help'])).code, 0);
  assert.equal((await etlctl(['apply', '--help'])).code, 0);
  assert.match((await etlctl(['version', '--client'])).out, /^etlctl /);
});

test('options stand before or after the command', async () => {
  const before = await etlctl([...away, 'get', 'pipelines']);
  const after = await etlctl(['get', 'pipelines', ...away]);
  assert.deepEqual(before, after);
});

test('a server that is away is an error with a way out, and nothing is invented', async () => {
  for (const verb of [
    ['get', 'pipelines'],
    ['describe', 'service', 'x'],
    ['delete', 'pipeline', 'x'],
    ['pause', 'x'],
    ['dlq', 'ls', 'x'],
  ]) {
    const { code, out, err } = await etlctl([...verb, ...away]);
    assert.equal(code, 1, verb.join(' '));
    assert.equal(out, '');
    assert.match(
      err,
      /can not reach the router at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\).*--server/,
    );
  }
});

test('with -o json a failure is one envelope on standard output', async () => {
  const { code, out, err } = await etlctl(['pause', 'x', '-o', 'json', ...away]);
  assert.equal(code, 1);
  assert.equal(err, '');
  const envelope = JSON.parse(out) as { command: string; ok: boolean; error: { code: string } };
  assert.deepEqual(
    [envelope.command, envelope.ok, envelope.error.code],
    ['pause', false, 'ETL_UNAVAILABLE'],
  );
});

test('a password in the server address is never shown', async () => {
  const { err } = await etlctl(['get', 'pipelines', '-s', 'http://user:hunter2@127.0.0.1:1']);
  assert.doesNotMatch(err, /hunter2/);
  const bad = await etlctl(['get', 'pipelines', '-s', 'ftp://user:hunter2@host']);
  assert.equal(bad.code, 2);
  assert.doesNotMatch(bad.err, /hunter2/);
});

test('a server that accepts and never answers is left after --timeout with exit code 124', async (t) => {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const { code, err } = await etlctl([
    'get',
    'pipelines',
    '-s',
    `127.0.0.1:${port}`,
    '--timeout',
    '200ms',
  ]);
  assert.equal(code, 124);
  assert.match(err, /no answer .* within 0\.2s/);
});

/** A server that gives these answers in turn and drops the connection when there are no more. */
async function startAnswering(t: TestContext, answers: readonly object[]): Promise<string> {
  const left = [...answers];
  const server = createServer((request, response) => {
    const answer = left.shift();
    if (answer === undefined) request.socket.destroy();
    else response.end(JSON.stringify({ data: answer }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('a conflict ends with exit code 5 and the reason of the router', async (t) => {
  const refusal = { success: false, message: 'it changed meanwhile', code: 'ETL_CONFLICT' };
  const server = await startAnswering(t, [
    { disablePipeline: refusal },
    { applyObject: { ...refusal, outcome: null, findings: [] } },
    { deleteObject: refusal },
  ]);
  for (const args of [
    ['pause', 'x'],
    ['apply', '-f', '-'],
    ['delete', 'source', 'numbers'],
  ]) {
    const { code, out, err } = await etlctl([...args, '-s', server], source);
    assert.equal(code, 5, args.join(' '));
    assert.match(out + err, /it changed meanwhile/);
  }
});

test('a router that goes away half-way: what was applied is told, and what was not', async (t) => {
  const created = { success: true, message: null, code: null, outcome: 'created', findings: [] };
  const server = await startAnswering(t, [{ applyObject: created }]);
  const three = ['numbers', 'second', 'third'].map((name) => source.replace('numbers', name));
  const { code, out, err } = await etlctl(['apply', '-f', '-', '-s', server], three.join('---\n'));
  assert.equal(code, 1);
  assert.equal(out, 'source/numbers created\n');
  const [second, third] = err.split('\n');
  assert.match(second ?? '', /^error: source\/second not applied: .*ECONNRESET/);
  assert.equal(third, 'error: source/third not sent');
});

for (const timeout of ['0s', '-1s', 'abc', '9999999h', '5']) {
  test(`--timeout ${timeout} is refused`, async () => {
    assert.equal((await etlctl(['get', 'pipelines', `--timeout=${timeout}`])).code, 2);
  });
}

test('files that are no manifests are refused by name before anything is sent', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'etlctl-'));
  await symlink(join(folder, 'loop'), join(folder, 'loop'));
  await writeFile(join(folder, 'empty.yaml'), '# only a comment\n');
  await writeFile(join(folder, 'latin.yaml'), Buffer.from([0x61, 0x3a, 0xff]));
  await writeFile(join(folder, 'tab.yaml'), 'a:\n\tb: 1\n');
  const cases: [string, RegExp][] = [
    ['missing.yaml', /does not exist/],
    ['/dev/zero', /is not a regular file/],
    [join(folder, 'loop'), /is a loop of links/],
    [join(folder, 'empty.yaml'), /holds no object/],
    [join(folder, 'latin.yaml'), /is not UTF-8 text/],
    [join(folder, 'tab.yaml'), /tab/i],
  ];
  for (const [path, message] of cases) {
    const { code, err } = await etlctl(['apply', '-f', path, ...away]);
    assert.equal(code, 2, `${path}: ${err}`);
    assert.match(err, message);
  }
});

test('one bad document of several refuses them all, and each fault is told', async () => {
  const bad = `${source}---\napiVersion: etl.router/v1\nkind: EtlSink\nmetadata: {name: UPPER}\nspec: {stdout: {}}\n`;
  const { code, err } = await etlctl(['apply', '-f', '-', ...away], bad);
  assert.equal(code, 2);
  assert.match(err, /UPPER/);
  assert.match(err, /nothing was sent/);
});

test('validate needs no router and warns of references that no file holds', async () => {
  const { code, out, err } = await etlctl(['validate', '-f', 'examples/manifests', '-R']);
  assert.equal(code, 0, err);
  assert.match(out, /valid, \d+ warnings/);
  assert.match(err, /kafka-user-events/);
});

test('a namespace that contradicts the manifest is refused', async () => {
  const { code, err } = await etlctl(
    ['validate', '-f', '-', '-n', 'a'],
    source.replace('{name: numbers}', '{name: numbers, namespace: b}'),
  );
  assert.equal(code, 2);
  assert.match(err, /namespace b, but --namespace says a/);
});

test('an unknown resource names those there are', async () => {
  const { code, err } = await etlctl(['get', 'pods', ...away]);
  assert.equal(code, 2);
  assert.match(err, /pipelines, sources, transforms, sinks, services/);
});

test('completion scripts offer every command', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, out } = await etlctl(['completion', shell]);
    assert.equal(code, 0);
    for (const word of ['apply', 'redrive', 'pipelines', 'completion'])
      assert.ok(out.includes(word), `${shell}: ${word}`);
  }
  assert.equal((await etlctl(['completion', 'tcsh'])).code, 2);
});
