// Docs that can not rot: every YAML block is a valid manifest, configuration or object of Kubernetes, every shell block runs, every link and
// path exists. `sh` blocks run block after block in a folder that looks like a clone, with `etlctl` on the PATH. A block
// that can not run here has a comment above it, `<!-- not run: why -->`, or `<!-- run by: FILE -->` where a test of a real
// cluster runs it; a page whose blocks need a running router says `<!-- needs: router -->` once and gets one on free ports, with ETLCTL_SERVER set and the pipeline of `fixture`.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, normalize, resolve } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { checkConnector } from '@etl-router/connectors';
import {
  connectorOf,
  type Finding,
  formatFinding,
  isErrorFinding,
  lookupIn,
  type Manifest,
  normalizePipeline,
  parseManifests,
  readYaml,
  type StageKind,
  validatePipeline,
} from '@etl-router/pipeline';
import { loadConfig } from '@etl-router/router';
import {
  ordersLines,
  type StandaloneProcess,
  startStandalone,
  until,
} from '../cli/test/standalone-process.ts';
import { admit } from '../crds/test/support/admission.ts';
import { kindOf } from '../crds/test/support/open-api.ts';
import { type Block, blocksOf, runnerOf } from './markdown.ts';

const pages = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.md'], {
  encoding: 'utf8',
})
  .split('\n')
  .filter((page) => page !== '' && existsSync(page));

test('every relative link in the docs leads to a file', () => {
  const broken = pages.flatMap((page) => {
    const links = readFileSync(page, 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g);
    return Array.from(links, (match) => match[1] as string)
      .filter((link) => !existsSync(normalize(join(dirname(page), link))))
      .map((link) => `${page}: ${link}`);
  });
  assert.deepEqual(broken, []);
});

// A path has a file's ending or a slash at its end: `standalone/local` is the name of a sidecar.
test('every file and folder that the docs name in backticks exists', () => {
  const broken = pages.flatMap((page) => {
    const names = readFileSync(page, 'utf8').matchAll(
      /`((?:core|proto|crds|pipeline|connectors|sdk|router|sidecar|operator|cli|standalone|scripts|docs|examples|bench|charts|e2e)\/(?:[\w./-]*\/)?(?:[\w-]+\.[\w.]+)?)`/g,
    );
    return Array.from(names, (match) => match[1] as string)
      .filter((name) => !existsSync(name.replace(/\/$/, '')))
      .map((name) => `${page}: ${name}`);
  });
  assert.deepEqual(broken, []);
});

// What a generator did not put in, it left there as its own source.
test('no reference page holds a placeholder of its generator', () => {
  const reference = pages.filter((page) => page.startsWith('docs/reference/'));
  assert.ok(reference.length > 5);
  assert.deepEqual(
    reference.filter((page) => readFileSync(page, 'utf8').includes('${')),
    [],
  );
});

/** `page:line` of a block, for messages. */
function placeOf(page: string, block: Block): string {
  return `${page}:${block.line}`;
}

function blocksIn(language: string): { readonly page: string; readonly block: Block }[] {
  return pages.flatMap((page) =>
    blocksOf(readFileSync(page, 'utf8'))
      .filter((block) => block.language === language && !isNotRun(block))
      .map((block) => ({ page, block })),
  );
}

/** Whether a reason stands above the block; a reason that says nothing is none. */
function isNotRun({ above }: Block): boolean {
  return /<!-- not run: \S.{8,} -->\s*$/.test(above);
}

test('what the docs leave to another test is in a test that is there', () => {
  const named = pages.flatMap((page) =>
    blocksOf(readFileSync(page, 'utf8'))
      .map(runnerOf)
      .filter((file) => file !== undefined),
  );
  assert.deepEqual(
    named.filter((file) => !existsSync(file)),
    [],
  );
});

function checkManifest(manifest: Manifest, all: readonly Manifest[]): readonly Finding[] {
  if (manifest.kind === 'EtlPipeline') {
    const { pipeline, findings } = normalizePipeline(manifest, lookupIn(all));
    return [...findings, ...(pipeline === undefined ? [] : validatePipeline(pipeline))];
  }
  const kind = manifest.kind.slice('Etl'.length).toLowerCase() as StageKind;
  const { namespace, name } = manifest.metadata;
  const spec = connectorOf(manifest);
  assert.ok(spec !== undefined);
  return checkConnector(kind, spec, `${manifest.kind} ${namespace}/${name}`);
}

/** An object that Kubernetes alone reads: an EtlRouterCluster, or one of its own kinds. */
interface KubernetesObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: { readonly name?: string };
}

/** What is wrong with the objects of Kubernetes in a text; undefined: it is one of manifests or a configuration. */
function kubernetesProblems(text: string): readonly string[] | undefined {
  const objects = readYaml(text).documents.map(({ value }) => value as KubernetesObject);
  const isTheirs = ({ apiVersion = '', kind }: KubernetesObject): boolean =>
    kind === 'EtlRouterCluster' || !apiVersion.startsWith('etl.');
  if (!objects.every((object) => object !== null && isTheirs(object))) return undefined;
  return objects.flatMap((object) => {
    const { apiVersion, kind = '', metadata } = object;
    if (kind === 'EtlRouterCluster') return admit(kindOf(kind), { ...object }).problems;
    return apiVersion === undefined || kind === '' || metadata?.name === undefined
      ? [`an object needs apiVersion, kind and metadata.name`]
      : [];
  });
}

test('every YAML block is manifests or objects of Kubernetes without an error, or a configuration of the router', () => {
  const blocks = blocksIn('yaml');
  assert.ok(blocks.length > 5);
  const broken = blocks.flatMap(({ page, block }) => {
    if (!/^\s*"?apiVersion/m.test(block.text)) {
      loadConfig({ flags: {}, env: {}, file: { name: placeOf(page, block), text: block.text } });
      return [];
    }
    const problems = kubernetesProblems(block.text);
    if (problems !== undefined)
      return problems.map((problem) => `${placeOf(page, block)}: ${problem}`);
    const { manifests, findings } = parseManifests(block.text);
    const all = [...findings, ...manifests.flatMap((one) => checkManifest(one, manifests))];
    if (manifests.length === 0 && all.length === 0) return [`${placeOf(page, block)}: no object`];
    return all
      .filter(isErrorFinding)
      .map((finding) => `${placeOf(page, block)}: ${formatFinding(finding)}`);
  });
  assert.deepEqual(broken, []);
});

/** What a page that needs a router finds there: the pipeline delayed-flights with two dead letters. */
const fixture = `apiVersion: etl.router/v1
kind: EtlPipeline
metadata: { name: delayed-flights, namespace: example }
spec:
  source: { ref: flights }
  transforms: [number]
  sink: { ref: out }
---
apiVersion: etl.router/v1
kind: EtlSource
metadata: { name: flights, namespace: example }
spec: { file: { path: flights.jsonl } }
---
apiVersion: etl.router/v1
kind: EtlTransform
metadata: { name: number, namespace: example }
spec: { cast: { casts: { total: int } } }
---
apiVersion: etl.router/v1
kind: EtlSink
metadata: { name: out, namespace: example }
spec: { file: { path: out.jsonl } }
`;

const run = promisify(execFile);

suite('every shell block runs', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'etl-docs-'));
    for (const name of readdirSync('.')) {
      if (name !== 'data' && name !== 'dist') symlinkSync(resolve(name), join(folder, name));
    }
  });
  after(() => rm(folder, { recursive: true }));

  const shell = (text: string, env: { readonly [name: string]: string }): Promise<unknown> =>
    run('sh', ['-e', '-c', text], {
      cwd: folder,
      env: { ...process.env, ...env },
      timeout: 120_000,
    });

  for (const page of pages) {
    const blocks = blocksOf(readFileSync(page, 'utf8')).filter(
      (block) => block.language === 'sh' && !isNotRun(block) && runnerOf(block) === undefined,
    );
    if (blocks.length === 0) continue;
    test(page, async () => {
      const path = [join(folder, 'dist'), dirname(process.execPath), process.env['PATH']];
      const env = { PATH: path.join(delimiter) };
      if (!existsSync(join(folder, 'dist'))) await shell('npm run --silent build', env);
      const router = readFileSync(page, 'utf8').includes('<!-- needs: router -->')
        ? await startWithFixture()
        : undefined;
      try {
        for (const block of blocks) {
          await assert.doesNotReject(
            shell(block.text, { ...env, ETLCTL_SERVER: router?.server ?? 'http://127.0.0.1:1' }),
            placeOf(page, block),
          );
        }
      } finally {
        await router?.close();
      }
    });
  }
});

async function startWithFixture(): Promise<StandaloneProcess> {
  const router = await startStandalone();
  writeFileSync(join(router.folder, 'flights.jsonl'), ordersLines);
  const ask = async (query: string, variables: object): Promise<unknown> => {
    const answer = await fetch(`${router.server}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    return answer.json();
  };
  for (const manifest of fixture.split('---\n')) {
    await ask(
      'mutation ($manifest: String!) { applyObject(input: { manifest: $manifest }) { success } }',
      { manifest },
    );
  }
  await until(async () => {
    const answer = (await ask(
      '{ pipeline(pipelineId: "example/delayed-flights") { deadLetters } }',
      {},
    )) as {
      data: { pipeline: { deadLetters: number } };
    };
    return answer.data.pipeline.deadLetters === 2 ? true : undefined;
  }, 'two dead letters');
  return router;
}
