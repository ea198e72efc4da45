// The images under test: built here, carried to the nodes as archives. A second name of the router's image stands for the
// next version.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { isLocal, root, run } from './kubectl.ts';

export const tag = process.env['IMAGE_TAG'] ?? 'dev';
export const nextTag = 'next';
export const repository = 'etl-router';

export const images = {
  operator: `${repository}/operator:${tag}`,
  router: `${repository}/router:${tag}`,
  nextRouter: `${repository}/router:${nextTag}`,
} as const;

const folder = join(root, 'dist', 'images');

export async function buildImages(): Promise<void> {
  await run('npm', ['run', '--silent', 'images'], { timeoutMs: 900_000 });
  await rename('router', nextTag);
}

/** Puts every image on every node: by the local cluster, or by the command in E2E_LOAD, which gets archives. */
export async function loadImages(): Promise<void> {
  const archives = ['operator', 'router', `router-${nextTag}`].map((name) =>
    join(folder, `${name}.tar`),
  );
  const given = process.env['E2E_LOAD']?.split(' ').filter((word) => word !== '');
  const [command = '', ...args] = given ?? [join(root, 'e2e/cluster/cluster.sh'), 'load'];
  if (given === undefined && !isLocal)
    throw new Error(
      'say by E2E_LOAD what puts archives of images on the nodes, such as "kind load image-archive"',
    );
  if (given === undefined) {
    await run(command, [...args, ...archives], { timeoutMs: 300_000 });
    return;
  }
  for (const archive of archives) await run(command, [...args, archive], { timeoutMs: 300_000 });
}

interface Index {
  readonly manifests: { annotations?: { [name: string]: string } }[];
}

/** Keeps a copy of an archive in which the image has another tag. */
async function rename(name: string, newTag: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'etl-image-'));
  await run('tar', ['-xf', join(folder, `${name}.tar`), '-C', work]);
  const file = join(work, 'index.json');
  const index = JSON.parse(await readFile(file, 'utf8')) as Index;
  const full = `docker.io/${repository}/${name}:${newTag}`;
  for (const manifest of index.manifests) {
    manifest.annotations = {
      'org.opencontainers.image.ref.name': full,
      'io.containerd.image.name': full,
    };
  }
  await writeFile(file, JSON.stringify(index));
  await run('tar', ['-cf', join(folder, `${name}-${newTag}.tar`), '-C', work, '.']);
  await rm(work, { recursive: true });
}
