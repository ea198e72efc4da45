import { deepEqual } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { capabilitiesOf, connectors } from '@etl-router/connectors';
import type { SinkCapabilities } from '@etl-router/core';
import type { JsonObject } from '@etl-router/pipeline';

const pages: { readonly [type: string]: string } = {
  duckdb: 'duckdb',
  file: 'file-sink',
  stdout: 'stdout',
};

function readPage(type: string): string {
  return readFileSync(new URL(`../../docs/connectors/${pages[type]}.md`, import.meta.url), 'utf8');
}

/** The cells of the rows below the header that begins with `first`. */
function tableRows(page: string, first: string): readonly string[][] {
  const lines = page.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${first} `)) + 2;
  const end = lines.findIndex((line, at) => at >= start && !line.startsWith('|'));
  return lines.slice(start, end).map((line) =>
    line
      .slice(2, -2)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

for (const type of Object.keys(pages)) {
  test(`the page of ${type} lists its settings as the code has them`, () => {
    const connector = connectors.find((known) => known.kind === 'sink' && known.type === type);
    deepEqual(
      tableRows(readPage(type), 'setting'),
      connector?.settings.map(({ name, type: values, fallback, help }) => [
        `\`${name}\``,
        values,
        fallback,
        help,
      ]),
    );
  });
}

function promised(type: string, config: JsonObject): readonly string[] {
  const word = (value: boolean): string => (value ? 'yes' : 'no');
  const { durable, idempotentByKey, transactionalPosition } = capabilitiesOf('sink', {
    type,
    config,
  }) as SinkCapabilities;
  return [word(durable), word(idempotentByKey), word(transactionalPosition)];
}

test('the pages promise what the sinks declare', () => {
  for (const [mode = '', ...promises] of tableRows(readPage('duckdb'), 'mode')) {
    const config = { path: 'x', table: 't', mode: mode.replaceAll('`', '') };
    deepEqual(promises.slice(0, 3), promised('duckdb', config));
  }
  const [file] = tableRows(readPage('file'), 'durable');
  deepEqual(file?.slice(0, 3), promised('file', { path: 'x.jsonl' }));
  const [stdout] = tableRows(readPage('stdout'), 'durable');
  deepEqual(stdout?.slice(0, 3), promised('stdout', {}));
});
