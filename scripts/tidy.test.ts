// The rules of CONTRIBUTING.md that a machine can check: who may import whom, which folders are pure, how a file
// looks. It reads the tree as text; what needs types is oxlint's and tsc's work.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

/** Packages and the packages of ours that each may import. */
const mayImport: { readonly [name: string]: readonly string[] } = {
  core: [],
  proto: ['core'],
  crds: ['core'],
  pipeline: ['core', 'proto', 'crds'],
  connectors: ['core', 'proto', 'pipeline'],
  sdk: ['core', 'proto'],
  router: ['core', 'proto', 'pipeline'],
  sidecar: ['core', 'proto', 'pipeline'],
  operator: ['core', 'proto', 'crds', 'pipeline'],
  cli: ['core', 'proto', 'pipeline'],
  standalone: ['core', 'proto', 'pipeline', 'connectors', 'router', 'sidecar'],
};

/** What the tests of a package may import beside what the package may. */
const testsMayImport: { readonly [name: string]: readonly string[] } = {
  crds: ['pipeline', 'connectors'],
  connectors: ['sidecar'],
  cli: ['router', 'sidecar', 'connectors', 'standalone'],
  sdk: ['sidecar', 'pipeline', 'connectors', 'router', 'standalone'],
  standalone: ['sdk', 'cli'],
};

/** Folders and files that compute only: no input, output, time, randomness or promise. */
const pureRoots = [
  'core/src/record/',
  'pipeline/src/',
  'crds/src/',
  'router/src/state/',
  'operator/src/certificates/rotation.ts',
  'operator/src/cluster/check-spec.ts',
  'operator/src/cluster/conditions.ts',
  'operator/src/cluster/config.ts',
  'operator/src/cluster/facts.ts',
  'operator/src/cluster/membership.ts',
  'operator/src/cluster/names.ts',
  'operator/src/cluster/objects.ts',
  'operator/src/cluster/plan.ts',
  'operator/src/cluster/pod-template.ts',
  'operator/src/cluster/rollout.ts',
  'operator/src/cluster/status.ts',
  'operator/src/cluster/step.ts',
  'operator/src/cluster/view.ts',
  'operator/src/cluster/word.ts',
  'sidecar/src/engine/tracker.ts',
  'sidecar/src/engine/batcher.ts',
  'sidecar/src/engine/credits.ts',
  'sidecar/src/engine/retry.ts',
  'sidecar/src/engine/watermark.ts',
];

const impure: readonly (readonly [RegExp, string])[] = [
  [/\bfrom '(node:|@grpc\/|level|pino|@duckdb|graphql)/, 'imports input or output'],
  [/\bDate\.now\b|\bnew Date\(\)|\bperformance\./, 'reads a clock'],
  [/\bMath\.random\b|\bcrypto\./, 'draws random numbers'],
  [/\b(setTimeout|setInterval|setImmediate|queueMicrotask)\b/, 'sets a timer'],
  [/\bawait\b|\basync\b|\bnew Promise\b/, 'is asynchronous'],
  [/\bprocess\.|\bfetch\(/, 'touches the process or the network'],
];

const timeAndChance =
  /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bsetTimeout\(|\bsetInterval\(/;
const evaluators = /\beval\(|\bnew Function\b|\bFunction\(|from 'node:vm'/;
const workWords = new RegExp(
  `\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`,
);

const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((file) => file !== '' && existsSync(file));
const sources = tracked.filter((file) => file.endsWith('.ts') && !file.includes('/gen/'));
const texts = new Map(sources.map((file) => [file, readFileSync(file, 'utf8')]));

/** The code of a file without its comments, so that prose may name what code may not use. */
function codeOf(file: string): string {
  return (texts.get(file) as string)
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/\s\/\/ .*$/gm, '');
}

/** What a statement or a call imports from. */
const importedFrom =
  /(?:^(?:import|export)\b[^;'=]*? from |^\} from |\bimport\(|^import )'([^']+)'/gm;

function importsOf(file: string): string[] {
  const specifiers = Array.from(codeOf(file).matchAll(importedFrom), (match) => match[1] as string);
  return specifiers.flatMap((name) => /^@etl-router\/([a-z]+)/.exec(name)?.[1] ?? []);
}

function offenders(
  files: readonly string[],
  complaint: (file: string) => string | undefined,
): string[] {
  return files.flatMap((file) => {
    const found = complaint(file);
    return found === undefined ? [] : [`${file}: ${found}`];
  });
}

test('packages import only what the direction of dependencies allows', () => {
  const wrong = offenders(sources, (file) => {
    const [owner = '', folder] = file.split('/');
    const allowed = mayImport[owner];
    if (allowed === undefined) return undefined;
    const extra = folder === 'test' ? (testsMayImport[owner] ?? []) : [];
    const bad = importsOf(file).find(
      (name) => name !== owner && !allowed.includes(name) && !extra.includes(name),
    );
    return bad === undefined ? undefined : `imports @etl-router/${bad}`;
  });
  assert.deepEqual(wrong, []);
});

test('a package declares every package it imports', () => {
  const wrong = offenders(sources, (file) => {
    const [owner = '', folder] = file.split('/');
    if (mayImport[owner] === undefined || folder !== 'src') return undefined;
    const manifest = JSON.parse(readFileSync(`${owner}/package.json`, 'utf8')) as {
      dependencies?: { [name: string]: string };
    };
    for (const [, specifier = ''] of codeOf(file).matchAll(importedFrom)) {
      const name = /^(@[\w-]+\/)?[^/]+/.exec(specifier)?.[0] ?? '';
      if (name.startsWith('node:') || name.startsWith('.') || name === `@etl-router/${owner}`)
        continue;
      if (manifest.dependencies?.[name] === undefined) return `${owner}/package.json lacks ${name}`;
    }
    return undefined;
  });
  assert.deepEqual(wrong, []);
});

test('pure folders stay pure', () => {
  const files = sources.filter((file) => pureRoots.some((root) => file.startsWith(root)));
  assert.ok(files.length > 20, 'the pure roots hold files');
  const wrong = offenders(files, (file) => {
    const code = codeOf(file);
    return impure.find(([pattern]) => pattern.test(code))?.[1];
  });
  assert.deepEqual(wrong, []);
});

test('time and randomness have one door each', () => {
  const files = sources.filter((file) => /^[a-z]+\/src\//.test(file));
  const doors = ['core/src/clock.ts', 'core/src/random.ts'];
  const wrong = offenders(files, (file) =>
    !doors.includes(file) && timeAndChance.test(codeOf(file))
      ? 'bypasses Clock or Random'
      : undefined,
  );
  assert.deepEqual(wrong, []);
});

test('no text is ever run as code', () => {
  const files = sources.filter((file) => file !== 'scripts/tidy.test.ts');
  const wrong = offenders(files, (file) =>
    evaluators.test(codeOf(file)) ? 'evaluates text' : undefined,
  );
  assert.deepEqual(wrong, []);
});

test('every file says why it exists, stays under 500 lines and leaves nothing unfinished', () => {
  const wrong = offenders(sources, (file) => {
    const text = texts.get(file) as string;
    if (/^[a-z]+\/src\//.test(file) && !/^(#!.*\n)?(\/\/|\/\*\*)/.test(text))
      return 'has no header comment';
    if (text.split('\n').length > 501) return 'is over 500 lines';
    if (workWords.test(text)) return 'holds an unfinished mark';
    if (/^export default\b/m.test(text)) return 'has a default export';
    if (/^export \*/m.test(text)) return 'exports everything of a module';
    if (/\b(test|it|describe)\.(skip|only|todo)\(/.test(codeOf(file))) return 'skips a test';
    return undefined;
  });
  assert.deepEqual(wrong, []);
});

test('file and folder names are kebab-case', () => {
  const wrong = sources.filter((file) => !/^[a-z0-9./-]+$/.test(file));
  assert.deepEqual(wrong, []);
});

test('every dependency has its line in docs/dependencies.md, and no line is left over', () => {
  const documented = Array.from(
    readFileSync('docs/dependencies.md', 'utf8').matchAll(/^\| `([^`]+)`/gm),
    (match) => match[1] as string,
  );
  const manifests = tracked.filter((file) => /^([a-z]+\/)?package\.json$/.test(file));
  const used = new Set<string>();
  for (const file of manifests) {
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as {
      [field: string]: { [name: string]: string } | undefined;
    };
    for (const field of ['dependencies', 'devDependencies', 'optionalDependencies']) {
      for (const name of Object.keys(manifest[field] ?? {})) {
        if (!name.startsWith('@etl-router/')) used.add(name);
      }
    }
  }
  assert.deepEqual(documented.toSorted(), [...used].toSorted());
});

test('no script runs at install time but those that are allowed by name', () => {
  const root = JSON.parse(readFileSync('package.json', 'utf8')) as {
    scripts: { [name: string]: string };
  };
  for (const hook of ['preinstall', 'install', 'postinstall', 'prepare']) {
    assert.equal(root.scripts[hook], undefined);
  }
});
