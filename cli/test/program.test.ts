import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
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

const usageErrors: readonly (readonly [string, RegExp])[] = [
  ['aply', /unknown command 'aply'\n\(Did you mean apply\?\)\n\(see etlctl --help\)/],
  ['qwertyuiop', /unknown command 'qwertyuiop'\n\(see etlctl --help\)/],
  ['get pipelines --bogus', /unknown option '--bogus'\n\(see etlctl get --help\)/],
  ['get pipelines --namespce x', /Did you mean --namespace\?/],
  ['get', /missing required argument 'resource'\n\(see etlctl get --help\)/],
  ['get a b c', /too many arguments for 'get'/],
  ['get pipelin', /no resource "pipelin"; did you mean "pipeline"\?/],
  ['get pods', /no resource "pods"; choose one of pipelines, sources, transforms, sinks, services/],
  ['get pipelines/', /pipelines\/: the name is empty/],
  [
    'get pipelines -o xml',
    /"xml" is not offered here; choose one of table, wide, json, yaml, name/,
  ],
  ['apply -o yaml -f x', /"yaml" is not offered here; choose one of table, json/],
  ['describe pipelines', /name what to describe: etlctl describe pipelines NAME/],
  ['delete', /say what to delete/],
  ['delete pipelines', /name what to delete/],
  ['delete pipeline x -f y', /name objects or give -f, not both/],
  ['apply', /name the manifests with -f/],
  ['apply -f', /argument missing/],
  ['apply x.yaml', /too many arguments/],
  ['apply -f x --dry-run=nowhere', /Allowed choices are client, server/],
  ['graph x --format gif', /Allowed choices are ascii, dot, mermaid/],
  ['graph', /say what to draw/],
  ['pause', /missing required argument 'pipeline'/],
  ['pause source/x', /names one of the sources; this is for pipelines/],
  ['pause a/b/c', /is no NAME, NAMESPACE\/NAME or pipeline\/NAME/],
  ['pause a/b -n c', /is of namespace a, but --namespace says c/],
  ['resume pods x', /no resource "pods"/],
  [
    'dlq orders',
    /unknown command 'orders'\n\(such as etlctl dlq ls PIPELINE; see etlctl dlq --help\)/,
  ],
  ['dlq lst x', /Did you mean ls\?/],
  ['dlq ls x --limit 0', /--limit: "0" is no whole number from 1 to 1000000/],
  ['dlq redrive x', /say which dead letters to redrive/],
  ['get pipelines -n Upper', /--namespace: "Upper" is no namespace/],
  ['cluster member', /Did you mean members\?/],
  ['cluster add 4 10.0.0.4:50052', /required option '--raft-id <id>' not specified/],
  ['cluster add 4 10.0.0.4:50052 --raft-id x', /--raft-id: "x" is no whole number/],
  ['cluster promote', /missing required argument 'member'/],
  ['completion tcsh', /Allowed choices are bash, zsh, fish/],
];

for (const [line, message] of usageErrors) {
  test(`etlctl ${line} is a usage error with exit code 2 and a way out`, async () => {
    const { code, err, out } = await etlctl([...line.split(' '), ...away]);
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, message);
  });
}

for (const [line] of usageErrors.filter(([text]) => !text.includes(' -o '))) {
  test(`etlctl ${line} -o json is one envelope`, async () => {
    const { code, err, out } = await etlctl([...line.split(' '), ...away, '-o', 'json']);
    assert.deepEqual([code, err], [2, '']);
    const { ok, error } = JSON.parse(out) as { ok: boolean; error: { code: string } };
    assert.deepEqual([ok, error.code], [false, 'ETL_INVALID_ARGUMENT']);
  });
}

test('no command at all prints the help as an error', async () => {
  for (const args of [[], ['dlq'], ['cluster']]) {
    const { code, out, err } = await etlctl(args);
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, /^Usage: etlctl/);
  }
  const { code, out } = await etlctl(['-o', 'json']);
  assert.equal(code, 2);
  assert.match(out, /no command; etlctl --help lists them/);
});

test('a variable of the environment is checked as the flag is, and an empty one is none', async () => {
  const args = ['get', 'pipelines', ...away];
  const { code, err } = await etlctl(args, '', { ETLCTL_NAMESPACE: 'Not One' });
  assert.equal(code, 2);
  assert.match(err, /ETLCTL_NAMESPACE: "Not One" is no namespace/);
  assert.equal((await etlctl(args, '', { ETLCTL_NAMESPACE: '' })).code, 1);
  const help = await etlctl(['get', '--help'], '', { ETLCTL_SERVER: '' });
  assert.match(help.out, /default: http:\/\/localhost:8080/);
});

test('version and help end with 0 wherever the router is', async () => {
  assert.match((await etlctl(['--version'])).out, /^etlctl \d\S* \(\S+\)\n$/);
  assert.match((await etlctl(['version', '--client'])).out, /^etlctl /);
  const text = await etlctl(['version', ...away]);
  assert.equal(text.code, 0);
  assert.match(
    text.out,
    /^etlctl .*\nrouter: can not reach the router at http:\/\/127\.0\.0\.1:1 /,
  );
  const json = await etlctl(['version', '-o', 'json', ...away]);
  assert.equal(json.code, 0);
  const { ok, result } = JSON.parse(json.out) as {
    ok: boolean;
    result: { client: { version: string }; router: null; reason: string };
  };
  assert.deepEqual([ok, result.router], [true, null]);
  assert.match(result.reason, /ECONNREFUSED/);
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

const bomb = 'bcdefghij'
  .split('')
  .reduce(
    (text, name, index) => `${text}${name}: &${name} [${`*${'abcdefghij'[index]},`.repeat(9)}]\n`,
    'a: &a [x]\n',
  );

/** Files and standard input that are no manifests; a string is the text of the file. */
const badTexts: { readonly [name: string]: readonly [string | Uint8Array, RegExp] } = {
  'an empty file': ['', /holds no object/],
  'only comments': ['# nothing\n---\n# more\n', /holds no object/],
  'a tab': ['a:\n\tb: 1\n', /line 2: .*tab/i],
  'bytes that are no text': [new Uint8Array([0x61, 0x3a, 0xff]), /is not UTF-8 text/],
  'a binary with a NUL': ['a: \0', /holds a NUL; it is binary/],
  'UTF-16': [Buffer.from('\ufeffa: 1', 'utf16le'), /is UTF-16; save it as UTF-8/],
  'a bomb of aliases': [bomb, /more than 100000 values|more than 100 aliases/],
  '5,000 levels': ['['.repeat(5000) + ']'.repeat(5000), /maxDepth \(100\)/],
  'a key twice': [`${source}kind: EtlSink\n`, /line 5: duplicated mapping key/],
  'a custom tag': ['a: !!js/function "x"\n', /unknown scalar tag/],
  'ten megabytes': [
    `${source}# ${'x'.repeat(10_000_000)}\n`,
    /bytes are more than 1048576; split the file/,
  ],
  'seventeen megabytes': ['x'.repeat(17 * 1024 * 1024), /is larger than 16 MiB/],
  'documents beyond a thousand': [
    '---\na: 1\n'.repeat(1001),
    /1001 documents are more than 1000; split the file/,
  ],
  'a list': ['- 1\n', /needs a map/],
  'no kind': ['a: 1\n', /kind, line 1: is needed/],
  'a kind in other letters': [source.replace('EtlSource', 'etlsource'), /did you mean "EtlSource"/],
  'another apiVersion': [source.replace('router/v1', 'router/v2'), /apiVersion.*"etl\.router\/v2"/],
  'no name': [source.replace('name: numbers', ''), /metadata\.name.*is needed/],
  'a name with a slash': [source.replace('name: numbers', 'name: a/b'), /"a\/b" is not a name/],
  'an escape sequence as name': [
    source.replace('name: numbers', 'name: "\\e[31m"'),
    /EtlSource default\/\\x1b\[31m/,
  ],
  'the same object twice': [`${source}---\n${source}`, /appears more than once/],
};

for (const [name, [content, message]] of Object.entries(badTexts)) {
  test(`${name} is refused, of a file and of standard input, before anything is sent`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'etlctl-'));
    t.after(() => rm(folder, { recursive: true }));
    const path = join(folder, 'bad.yaml');
    await writeFile(path, content);
    for (const verb of ['apply', 'validate', 'delete']) {
      for (const [file, stdin] of [
        [path, ''],
        ['-', content],
      ] as const) {
        const { code, out, err } = await etlctl([verb, '-f', file, ...away], stdin);
        assert.deepEqual([code, out], [2, ''], `${verb}: ${err}`);
        assert.match(err, message);
        assert.doesNotMatch(err, /\u001b|ECONNREFUSED|\n {4}at /);
      }
    }
  });
}

test('paths that hold no manifest are refused by name', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'etlctl-'));
  t.after(() => rm(folder, { recursive: true }));
  await symlink(join(folder, 'loop'), join(folder, 'loop'));
  await mkdir(join(folder, 'deep/er'), { recursive: true });
  await writeFile(join(folder, 'deep/er/a.yaml'), source);
  await writeFile(join(folder, 'deep/notes.txt'), source);
  execFileSync('mkfifo', [join(folder, 'fifo')]);
  const cases: [string, RegExp][] = [
    ['missing.yaml', /-f missing\.yaml: does not exist in \//],
    ['/dev/zero', /is not a regular file/],
    [join(folder, 'fifo'), /is not a regular file/],
    [join(folder, 'loop'), /is a loop of links/],
    [join(folder, 'deep'), /holds no \.yaml, \.yml or \.json file; --recursive looks deeper/],
  ];
  for (const [path, message] of cases) {
    const { code, err } = await etlctl(['apply', '-f', path, ...away]);
    assert.equal(code, 2, `${path}: ${err}`);
    assert.match(err, message);
  }
  assert.equal((await etlctl(['validate', '-R', '-f', join(folder, 'deep')])).code, 0);
});

test('a byte order mark, CRLF and a thousand documents are no faults', async () => {
  const windows = `\ufeff${source.replaceAll('\n', '\r\n')}`;
  assert.equal((await etlctl(['validate', '-f', '-'], windows)).code, 0);
  const many = Array.from({ length: 1000 }, (_, index) => source.replace('numbers', `n${index}`));
  assert.match(
    (await etlctl(['validate', '-f', '-'], many.join('---\n'))).out,
    /^1000 objects valid/,
  );
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
