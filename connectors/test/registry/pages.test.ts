import { deepEqual, equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { capabilitiesOf, checkConnector, connectors } from '@etl-router/connectors';
import type { SourceCapabilities } from '@etl-router/core';
import {
  connectorOf,
  isErrorFinding,
  type JsonObject,
  parseManifests,
  type StageKind,
} from '@etl-router/pipeline';

function readPage(name: string): string {
  return readFileSync(new URL(`../../../docs/connectors/${name}.md`, import.meta.url), 'utf8');
}

/** The cells of the rows below the first header in `text` that begins with `first`. */
function tableRows(text: string, first: string): readonly string[][] {
  const lines = text.split('\n');
  const header = lines.findIndex((line) => new RegExp(`^\\| ${first} `).test(line));
  ok(header >= 0, `there is a table of ${first}`);
  const rows = lines.slice(header + 2);
  const end = rows.findIndex((line) => !line.startsWith('|'));
  return rows.slice(0, end).map((line) => {
    const cells = line.slice(1, -1).split('|');
    return cells.map((cell) => cell.trim());
  });
}

/** The part of the transforms' page that is about one of them. */
function section(type: string): string {
  const page = readPage('transforms');
  const start = page.indexOf(`\n## \`${type}\`\n`);
  ok(start >= 0, `there is a section of ${type}`);
  return page.slice(start, page.indexOf('\n## ', start + 1) >>> 0);
}

for (const { kind, type, settings } of connectors.filter((known) => known.kind !== 'sink')) {
  test(`the page of ${kind} ${type} lists its settings as the code has them`, () => {
    const pages: { readonly [type: string]: string } = {
      file: 'file-source',
      generator: 'generator',
    };
    const text = kind === 'transform' ? section(type) : readPage(pages[type] as string);
    deepEqual(
      tableRows(text, 'setting'),
      settings.map(({ name, type: values, fallback, help }) => [
        `\`${name}\``,
        values,
        fallback,
        help,
      ]),
    );
  });
}

test('the transforms page has no section of a transform that does not exist', () => {
  const named = Array.from(readPage('transforms').matchAll(/^## `(\w+)`$/gm), ([, type]) => type);
  const types = connectors.filter(({ kind }) => kind === 'transform').map(({ type }) => type);
  deepEqual(new Set(named), new Set(types));
});

for (const page of ['generator', 'file-source', 'transforms']) {
  test(`the manifests on the page ${page} are valid`, () => {
    const blocks = Array.from(readPage(page).matchAll(/```yaml\n(.*?)```/gs), ([, yaml]) => yaml);
    ok(blocks.length > 0);
    for (const yaml of blocks) {
      const { manifests, findings } = parseManifests(yaml as string);
      deepEqual(findings.filter(isErrorFinding), []);
      for (const manifest of manifests) {
        const spec = connectorOf(manifest);
        ok(spec !== undefined);
        const kind = manifest.kind.replace('Etl', '').toLowerCase() as StageKind;
        deepEqual(checkConnector(kind, spec, manifest.metadata.name), []);
      }
    }
  });
}

function promised(type: string, config: JsonObject): readonly string[] {
  const { replayable, ordered, bounded } = capabilitiesOf('source', {
    type,
    config,
  }) as SourceCapabilities;
  return [replayable ? 'yes' : 'no', ordered, String(bounded)];
}

test('the pages promise what the sources declare', () => {
  const [file] = tableRows(readPage('file-source'), 'replayable');
  deepEqual(file, ['yes', 'partition', 'without `follow`']);
  deepEqual(promised('file', { path: 'x.csv' }), ['yes', 'partition', 'true']);
  deepEqual(promised('file', { path: 'x.csv', follow: true }), ['yes', 'partition', 'false']);
  const [generator] = tableRows(readPage('generator'), 'replayable');
  deepEqual(generator, ['yes', 'partition', 'with `count`']);
  deepEqual(promised('generator', { count: 1 }), ['yes', 'partition', 'true']);
  deepEqual(promised('generator', {}), ['yes', 'partition', 'false']);
});

const wrong: readonly (readonly [StageKind, string, JsonObject, string, RegExp])[] = [
  ['source', 'file', { path: 'x.csv', folow: true }, 'spec.file.folow', /follow/],
  ['source', 'file', { path: 5 }, 'spec.file.path', /string/],
  ['source', 'file', {}, 'spec.file.path', /needed/],
  ['source', 'file', { path: 'x.data' }, 'spec.file.format', /needed/],
  ['source', 'file', { path: 'x.parquet', follow: true }, 'spec.file.follow', /Parquet/],
  [
    'source',
    'file',
    { path: 'x.csv', csv: { delimiter: ';;' } },
    'spec.file.csv.delimiter',
    /ASCII/,
  ],
  ['source', 'generator', { partitions: 0 }, 'spec.generator.partitions', /between/],
  ['source', 'generator', { startTime: 'soon' }, 'spec.generator.startTime', /RFC 3339/],
  ['source', 'generater', {}, 'spec.generater', /generator/],
  ['transform', 'filter', { condition: 'record.data.(' }, 'spec.filter.condition', /./],
  ['transform', 'project', {}, 'spec.project', /fields or exclude/],
  ['transform', 'cast', { casts: { a: 'integer' } }, 'spec.cast.casts', /none of/],
  ['transform', 'rename', { renames: [] }, 'spec.rename.renames', /map/],
  ['transform', 'map', { mappings: [{ source: 'a' }] }, 'spec.map.mappings[0].target', /needed/],
  [
    'transform',
    'mask',
    { fields: [{ field: 'a', strategy: 'hsh' }] },
    'spec.mask.fields[0].strategy',
    /hash/,
  ],
  [
    'transform',
    'mask',
    { fields: [{ field: 'a', strategy: 'tokenize' }] },
    'spec.mask.saltEnv',
    /salt/,
  ],
  ['transform', 'lookup', { table: { file: { path: 'x.csv' } } }, 'spec.lookup.keys', /needed/],
  ['transform', 'lookup', { keys: [{ field: 'a' }] }, 'spec.lookup.table', /needed/],
];

for (const [kind, type, config, path, pattern] of wrong) {
  test(`${kind} ${type}: ${JSON.stringify(config)} is reported at ${path}`, () => {
    const findings = checkConnector(kind, { type, config }, 'shop/x').filter(isErrorFinding);
    const found = findings.find((finding) => finding.path === path);
    ok(found !== undefined, JSON.stringify(findings));
    ok(pattern.test(`${found.message} ${found.suggestion ?? ''}`), JSON.stringify(found));
    equal(capabilitiesOf(kind, { type, config }), undefined);
  });
}

test('every setting that is wrong is reported at once', () => {
  const config = { path: 5, follow: 'yes', type: 1, typo: 2, csv: { header: 3 } };
  const findings = checkConnector('source', { type: 'file', config }, 'shop/x');
  ok(findings.filter(isErrorFinding).length >= 5, JSON.stringify(findings));
});
