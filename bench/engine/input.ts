// The input of the engine benchmark: lines of JSON of 200 bytes and a newline, half of them with an amount above 10,
// and what must come out. Made once, from a fixed seed, and kept in .cache/.

import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom } from '@etl-router/core';

export interface Input {
  readonly path: string;
  readonly lines: number;
  /** Of the lines with an amount above 10, in order. */
  readonly expected: { readonly lines: number; readonly bytes: number; readonly sha256: string };
}

const lineBytes = 200;
const linesPerWrite = 10_000;

/** The input of `lines` lines below `directory`. */
export function makeInput(directory: string, lines: number): Input {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `orders-${lines}.jsonl`);
  const file = existsSync(path) ? undefined : openSync(`${path}.new`, 'w');
  const random = seededRandom(lines);
  const hash = createHash('sha256');
  let kept = 0;
  for (let first = 0; first < lines; first += linesPerWrite) {
    let all = '';
    let passing = '';
    for (let index = first; index < Math.min(lines, first + linesPerWrite); index++) {
      const amountCents = random.below(2001);
      const line = makeLine(index, amountCents, random.below(1_000_000));
      all += line;
      if (amountCents > 1000) {
        passing += line;
        kept++;
      }
    }
    hash.update(passing);
    if (file !== undefined) writeSync(file, all);
  }
  if (file !== undefined) {
    closeSync(file);
    renameSync(`${path}.new`, path);
  }
  const expected = { lines: kept, bytes: kept * (lineBytes + 1), sha256: hash.digest('hex') };
  return { path, lines, expected };
}

function makeLine(index: number, amountCents: number, customer: number): string {
  const text =
    `{"order_id":"o-${String(index).padStart(9, '0')}","customer":"customer-${customer}",` +
    `"amount":${amountCents / 100},"currency":"EUR","region":"eu-west","items":${index % 7},` +
    `"express":${index % 3 === 0},"note":"`;
  return `${text.padEnd(lineBytes - 2, 'x')}"}\n`;
}
