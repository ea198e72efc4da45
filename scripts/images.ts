// Builds the images with whatever builds images here: `npm run images` makes all, `npm run images router` one. Each is
// written to dist/images/<name>.tar, which `kind load image-archive` and `ctr images import` read; docs/reference/images.md says
// who else does.
// IMAGE_TAG names their tag (dev), IMAGE_BUILDER the program, BASE the image that Node comes from.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import process from 'node:process';
import {
  type Builder,
  builders,
  type Command,
  commandsOf,
  defaultBase,
  probesOf,
} from './images/builder.ts';

const images = ['router', 'operator'];
/** Makes the base image where there may be no registry, and keeps it where buildah finds it. */
const clusterScript = 'e2e/cluster/cluster.sh';

/** A reason to stop that is told in one line. */
class Refusal extends Error {}

try {
  makeImages(process.argv.slice(2));
} catch (error) {
  const isFailedCommand = error instanceof Error && 'status' in error;
  if (!(error instanceof Refusal) && !isFailedCommand) throw error;
  process.stderr.write(`images: ${error.message}\n`);
  process.exitCode = 1;
}

function makeImages(named: readonly string[]): void {
  const wanted = named.length > 0 ? named : images;
  const unknown = wanted.find((name) => !images.includes(name));
  if (unknown !== undefined) {
    throw new Refusal(`there is no image ${unknown}; there are ${images.join(' and ')}`);
  }
  const tag = process.env['IMAGE_TAG'] ?? 'dev';
  if (!/^[\w][\w.-]{0,127}$/.test(tag)) throw new Refusal(`IMAGE_TAG ${tag} is not a tag`);
  const builder = chooseBuilder(process.env['IMAGE_BUILDER']);
  run([process.execPath, '--conditions=etl-source', 'scripts/build.ts', ...wanted]);
  mkdirSync('dist/images', { recursive: true });
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  const common = {
    version,
    revision: revision(),
    base: process.env['BASE'],
    store: builder === 'buildah' ? prepareStore() : undefined,
  };
  for (const name of wanted) {
    const archive = `dist/images/${name}.tar`;
    const reference = `docker.io/etl-router/${name}:${tag}`;
    const { build, save } = commandsOf(builder, { ...common, name, archive, reference });
    run(build);
    rmSync(archive, { force: true });
    run(save);
    const sizeMib = Math.round(statSync(archive).size / 2 ** 20);
    process.stdout.write(`${archive} ${reference} (${sizeMib} MiB)\n`);
  }
}

function chooseBuilder(named: string | undefined): Builder {
  const base = process.env['BASE'] ?? defaultBase;
  if (named !== undefined) {
    const builder = builders.find((each) => each === named);
    if (builder === undefined) {
      throw new Refusal(`IMAGE_BUILDER is ${named}; it can be ${builders.join(', ')}`);
    }
    const fault = faultOf(builder, base);
    if (fault === undefined) return builder;
    throw new Refusal(`${builder} ${fault}`);
  }
  const faults: string[] = [];
  for (const builder of builders) {
    const fault = faultOf(builder, base);
    if (fault === undefined) return builder;
    faults.push(`${builder} ${fault}`);
  }
  throw new Refusal(
    `nothing here builds images (${faults.join('; ')}): start Docker, or install podman or buildah, which e2e/cluster/cluster.sh deps does on Debian`,
  );
}

/** Why a builder is of no use here; undefined: it is. */
function faultOf(builder: Builder, base: string): string | undefined {
  const { isHere, hasBase } = probesOf(builder, base);
  if (!succeeds(isHere)) return 'is not here or can not work';
  if (hasBase.length === 0 || hasBase.some(succeeds)) return undefined;
  return `has no ${base} and gets none: name one it can reach by BASE`;
}

function succeeds([program, ...rest]: Command): boolean {
  try {
    execFileSync(program, rest, { stdio: 'ignore', timeout: 300_000 });
    return true;
  } catch {
    return false;
  }
}

/** With buildah the base is one that the local cluster made, unless BASE or a storage configuration names another. */
function prepareStore(): string | undefined {
  const { BASE, CONTAINERS_STORAGE_CONF, CLUSTER_CACHE } = process.env;
  const isTold = BASE !== undefined || CONTAINERS_STORAGE_CONF !== undefined;
  if (isTold || !existsSync(clusterScript)) return undefined;
  run([clusterScript, 'base-image']);
  return `${CLUSTER_CACHE ?? `${homedir()}/.cache/local-cluster`}/buildah`;
}

function run([program, ...rest]: Command): void {
  execFileSync(program, rest, { stdio: ['ignore', 'inherit', 'inherit'] });
}

function revision(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}
