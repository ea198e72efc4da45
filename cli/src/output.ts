// How answers look: tables, YAML, JSON, and the envelope of scripts.

import { type Clock, EtlError } from '@etl-router/core';
import { printableJson, printableLine } from './io.ts';

export const outputs = ['table', 'wide', 'json', 'yaml', 'name'] as const;
export type Output = (typeof outputs)[number];

/** Throws ETL_INVALID_ARGUMENT for an output that `allowed` does not hold. */
export function parseOutput(text: string | undefined, allowed: readonly Output[]): Output {
  const output = (text ?? 'table') as Output;
  if (allowed.includes(output)) return output;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `--output: ${JSON.stringify(text)} is not offered here; choose one of ${allowed.join(', ')}`,
  );
}

/** Columns aligned by three spaces, as kubectl prints them. Cells are made printable. */
export function renderTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const cells = [header, ...rows].map((row) => row.map(printableLine));
  const widths = header.map((_, column) =>
    Math.max(...cells.map((row) => widthOf(row[column] ?? ''))),
  );
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell + ' '.repeat((widths[column] as number) - widthOf(cell)))
        .join('   ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\ufe0f/u;

/** Columns a text takes on a terminal: wide East Asian letters and emoji count two, combining marks none. */
function widthOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
  let width = 0;
  for (const { segment } of graphemes.segment(text)) {
    if (wide.test(segment)) width += 2;
    else if (/[^\p{Mark}\p{Format}]/u.test(segment)) width += 1;
  }
  return width;
}

/** JSON with two spaces, ending in a newline. */
export function renderJson(value: unknown): string {
  const json = JSON.stringify(
    value,
    (_key, member: unknown) => (typeof member === 'bigint' ? String(member) : member),
    2,
  );
  return `${printableJson(json)}\n`;
}

/** One YAML document. */
export async function renderYaml(value: unknown): Promise<string> {
  const { dump } = await import('js-yaml');
  return dump(JSON.parse(JSON.stringify(value)), { lineWidth: 120, noRefs: true });
}

/** `3s`, `5m`, `2h`, `9d`: how long ago, as kubectl's AGE. */
export function renderAge(time: string, clock: Clock): string {
  const seconds = Math.max(0, Math.floor((clock.wallMs() - Date.parse(time)) / 1000));
  if (Number.isNaN(seconds)) return '<unknown>';
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** `12.4k/s`: a rate for people. */
export function renderRate(perSecond: number): string {
  if (perSecond >= 1_000_000) return `${(perSecond / 1_000_000).toFixed(1)}M/s`;
  if (perSecond >= 1000) return `${(perSecond / 1000).toFixed(1)}k/s`;
  return `${Math.round(perSecond)}/s`;
}
