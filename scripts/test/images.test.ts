// What is told to a builder of images, and what is said where there is none.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { test } from 'node:test';
import { commandsOf, defaultBase, type ImageRequest, probesOf } from '../images/builder.ts';

const request: ImageRequest = {
  name: 'router',
  reference: 'docker.io/etl-router/router:dev',
  archive: 'dist/images/router.tar',
  version: '0.1.0',
  revision: 'abc',
  base: undefined,
  store: undefined,
};

/** Runs the script with nothing on the PATH but what is given. */
function images(
  args: readonly string[],
  env: { readonly [name: string]: string },
): Promise<{ code: number; said: string }> {
  const all = ['--conditions=etl-source', 'scripts/images.ts', ...args];
  return new Promise((resolve) => {
    const child = execFile(process.execPath, all, { env }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, said: stdout + stderr });
    });
  });
}

test('each builder builds the target and writes the archive under the full name', () => {
  for (const builder of ['docker', 'podman', 'buildah'] as const) {
    const { build, save } = commandsOf(builder, request);
    const line = build.join(' ');
    assert.ok(line.startsWith(`${builder} build `), line);
    assert.match(line, / --target router --tag docker.io\/etl-router\/router:dev /);
    assert.match(line, / --build-context bundles=dist /);
    assert.match(line, / --label \S+\.version=0\.1\.0 --label \S+\.revision=abc \.$/);
    assert.doesNotMatch(line, /BASE=/);
    assert.ok(save.some((word) => word.includes('dist/images/router.tar')));
    assert.ok(save.some((word) => word.endsWith('docker.io/etl-router/router:dev')));
  }
});

test('the same content gives the same layers', () => {
  const dated = (['docker', 'podman', 'buildah'] as const).map((builder) =>
    commandsOf(builder, request).build.some((word) => /^(SOURCE_DATE_EPOCH=)?0$/.test(word)),
  );
  assert.deepEqual(dated, [true, true, true]);
});

test('BASE is handed on', () => {
  const { build } = commandsOf('podman', { ...request, base: 'example.io/node:24' });
  assert.ok(build.includes('BASE=example.io/node:24'));
});

test('buildah keeps its layers where it is told to', () => {
  const { build, save } = commandsOf('buildah', { ...request, store: '/cache' });
  for (const command of [build, save]) {
    assert.deepEqual(command.slice(0, 3), ['buildah', '--root', '/cache']);
  }
});

test('a builder counts that can work and gets the base image', () => {
  const { isHere, hasBase } = probesOf('docker', 'example.io/node:24');
  assert.deepEqual(isHere, ['docker', 'info'], 'a client without its daemon does not count');
  assert.deepEqual(
    hasBase.map((command) => command.at(-1)),
    ['example.io/node:24', 'example.io/node:24'],
  );
});

test('the base image is that of the Dockerfile', () => {
  assert.match(readFileSync('Dockerfile', 'utf8'), new RegExp(`^ARG BASE=${defaultBase}$`, 'm'));
});

test('where nothing builds images, it says what would', async () => {
  const { code, said } = await images([], { PATH: '/nonexistent' });
  assert.equal(code, 1);
  assert.match(
    said,
    /^images: nothing here builds images .*: start Docker, or install podman or buildah/,
  );
});

test('a builder that is named and not there is told', async () => {
  const { code, said } = await images([], { PATH: '/nonexistent', IMAGE_BUILDER: 'podman' });
  assert.equal(code, 1);
  assert.match(said, /podman is not here or can not work/);
});

test('an image, a tag and a builder that do not exist are refused before anything is built', async () => {
  const refusals = [
    [['sidecart'], {}, 'there is no image sidecart; there are router and operator'],
    [[], { IMAGE_TAG: 'a b' }, 'IMAGE_TAG a b is not a tag'],
    [[], { IMAGE_BUILDER: 'kaniko' }, 'IMAGE_BUILDER is kaniko; it can be docker, podman, buildah'],
  ] as const;
  for (const [args, env, message] of refusals) {
    const { code, said } = await images(args, { PATH: '/nonexistent', ...env });
    assert.deepEqual([code, said.trim()], [1, `images: ${message}`]);
  }
});
