// The images under test: built here, carried to the nodes as archives. Each is tagged by its content, so that a new build
// is a new version and an old one is none; a second name of the router's image stands for the next version.

import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { isLocal, root, run } from './kubectl.ts';

export const repository = 'etl-router';

const folder = join(root, 'dist', 'images');
const archives = join(root, 'dist', 'e2e', 'images');
const tagsFile = join(archives, 'tags.json');

export interface Tags {
  readonly operator: string;
  readonly router: string;
  /** Another name of the router's image. */
  readonly nextRouter: string;
}

/** What was built last. */
export function tags(): Tags {
  if (!existsSync(tagsFile)) throw new Error('there are no images yet: npm run e2e:up builds them');
  return JSON.parse(readFileSync(tagsFile, 'utf8')) as Tags;
}

export function routerImage(tag: string = tags().router): string {
  return `${repository}/router:${tag}`;
}

export async function buildImages(): Promise<void> {
  await run('npm', ['run', '--silent', 'images'], { timeoutMs: 900_000 });
  await rm(archives, { recursive: true, force: true });
  await mkdir(archives, { recursive: true });
  const found: Tags = {
    operator: await rename('operator', 'dev'),
    router: await rename('router', 'dev'),
    nextRouter: await rename('router', 'next'),
  };
  await writeFile(tagsFile, JSON.stringify(found));
}

/** Puts every image on every node: by the local cluster, or by the command in E2E_LOAD, which gets an archive. */
export async function loadImages(): Promise<void> {
  const { operator, router, nextRouter } = tags();
  const files = [`operator-${operator}`, `router-${router}`, `router-${nextRouter}`].map((name) =>
    join(archives, `${name}.tar`),
  );
  const given = process.env['E2E_LOAD']?.split(' ').filter((word) => word !== '');
  if (given === undefined && !isLocal) {
    throw new Error(
      'say by E2E_LOAD what puts an archive of an image on the nodes, such as "kind load image-archive"',
    );
  }
  if (given === undefined) {
    await run(join(root, 'e2e/cluster/cluster.sh'), ['load', ...files], { timeoutMs: 300_000 });
    return;
  }
  const [command = '', ...args] = given;
  for (const file of files) await run(command, [...args, file], { timeoutMs: 300_000 });
}

interface Index {
  readonly manifests: { readonly digest: string; annotations?: { [name: string]: string } }[];
}

/** Keeps a copy of an archive in which the image is tagged by its content; answers the tag. */
async function rename(name: string, prefix: string): Promise<string> {
  const work = await mkdtemp(join(tmpdir(), 'etl-image-'));
  try {
    return await renameIn(work, name, prefix);
  } finally {
    await rm(work, { recursive: true });
  }
}

async function renameIn(work: string, name: string, prefix: string): Promise<string> {
  await run('tar', ['-xf', join(folder, `${name}.tar`), '-C', work]);
  const file = join(work, 'index.json');
  const index = JSON.parse(await readFile(file, 'utf8')) as Index;
  const digest = index.manifests[0]?.digest.replace('sha256:', '').slice(0, 12);
  const tag = `${prefix}-${digest}`;
  for (const manifest of index.manifests) {
    const full = `docker.io/${repository}/${name}:${tag}`;
    manifest.annotations = {
      'org.opencontainers.image.ref.name': full,
      'io.containerd.image.name': full,
    };
  }
  await writeFile(file, JSON.stringify(index));
  await run('tar', ['-cf', join(archives, `${name}-${tag}.tar`), '-C', work, '.']);
  return tag;
}
