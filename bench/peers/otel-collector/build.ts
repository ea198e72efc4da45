// Builds the collector that bench/engine.ts compares against, with the project's own builder, from Go modules. Needs
// Go and, the first time, a module proxy; the result stays in .cache/ until one of its sources changes.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';

const here = import.meta.dirname;
const cache = resolve(here, '../../../.cache/otel-collector');
const sources = ['builder.yaml', 'rawlines/go.mod', 'rawlines/go.sum', 'rawlines/extension.go'];

/** Release of builder and components; builder.yaml names the same. */
export const collectorVersion = '0.159.0';

export interface Collector {
  readonly binary: string;
  readonly version: string;
  /** What `go version` says. */
  readonly go: string;
}

/** The collector's binary, built now unless it was before. Takes minutes and says so. */
export function buildCollector(): Collector {
  const go = runGo(['version']).replace(/^go version /, '');
  const hash = createHash('sha256').update(go);
  for (const file of sources) hash.update(readFileSync(join(here, file)));
  const directory = join(cache, hash.digest('hex').slice(0, 16));
  const binary = join(directory, 'otel-collector');
  if (!existsSync(binary)) build(directory);
  return { binary, version: collectorVersion, go };
}

function build(directory: string): void {
  console.error('building the OpenTelemetry Collector; this takes some minutes, once');
  const bin = join(cache, 'bin');
  const work = `${directory}.work`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  runGo(['install', `go.opentelemetry.io/collector/cmd/builder@v${collectorVersion}`], bin);
  const config = join(work, 'builder.yaml');
  const text = readFileSync(join(here, 'builder.yaml'), 'utf8');
  writeFileSync(config, text.replace('\ndist:\n', `\ndist:\n  output_path: ${work}\n`));
  // The modules' paths in builder.yaml start at the working directory.
  execFileSync(join(bin, 'builder'), ['--config', config], { cwd: here, stdio: 'ignore' });
  renameSync(work, directory);
}

function runGo(args: readonly string[], bin?: string): string {
  const env = bin === undefined ? process.env : { ...process.env, GOBIN: bin };
  try {
    return execFileSync('go', args, { cwd: here, encoding: 'utf8', env }).trim();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new Error('the engine benchmark builds its peer with Go, which is not installed', {
      cause,
    });
  }
}
