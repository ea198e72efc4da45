// Histories as files: what is written is read again, and what is not understood whole is refused by line.

import { deepEqual, equal, match, throws } from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isEtlError } from '@etl-router/core';
import {
  formatHistory,
  historyLimits,
  parseHistory,
  readHistory,
  writeHistory,
} from '../../linearizability/history-file.ts';
import type { Operation } from '../../linearizability/operations.ts';
import { HistoryRecorder } from '../../linearizability/recorder.ts';

const line = {
  ...{ client: 1, id: 1, callNs: 10, returnNs: 20 as number | null },
  ...{ op: 'update', in: { name: 'EtlSource/default/a', spec: 's' } as object },
  out: { version: 3 } as object | null,
};

function textOf(...changes: readonly object[]): string {
  return changes.map((change) => `${JSON.stringify({ ...line, ...change })}\n`).join('');
}

const lane = { lane: 'default/p/source/0' };

const refused: readonly (readonly [name: string, text: string, message: RegExp])[] = [
  ['a line that is cut off', '{"client":1', /^h:1: is cut off$/],
  ['a line that is no JSON', 'x\n', /^h:1: is not JSON/],
  ['an empty line', `${textOf({})}\n`, /^h:2: is not JSON/],
  ['a line that is no object', '[]\n', /^h:1: the line must be an object$/],
  ['an unknown field', textOf({ at: 1 }), /^h:1: at is not a known field; known are client, id/],
  ['a missing field', textOf({ out: undefined }), /^h:1: out is missing$/],
  ['an id that is used twice', textOf({}, {}), /^h:2: id 1 is that of line 1$/],
  [
    'a time with a fraction',
    textOf({ callNs: 1.5 }),
    /^h:1: callNs must be a whole number from 0 to 2\^53 - 1$/,
  ],
  ['a time beyond 2^53', textOf({ returnNs: 2 ** 53 }), /^h:1: returnNs must be a whole number/],
  ['a negative client', textOf({ client: -1 }), /^h:1: client must be a whole number/],
  ['a return before its call', textOf({ returnNs: 9 }), /^h:1: returnNs 9 is before callNs 10$/],
  ['an answer without a time', textOf({ returnNs: null }), /^h:1: returnNs and out are both null/],
  ['a time without an answer', textOf({ out: null }), /^h:1: returnNs and out are both null/],
  ['an unknown operation', textOf({ op: 'put' }), /^h:1: op must be one of create, .*, not "put"$/],
  ['an inherited name as operation', textOf({ op: 'toString' }), /^h:1: op must be one of/],
  [
    'a field of another operation',
    textOf({ in: { name: 'a', spec: 's', epoch: 1 } }),
    /^h:1: epoch is not a known field; known are name, spec, ifVersion$/,
  ],
  ['an empty name', textOf({ in: { name: '', spec: 's' } }), /^h:1: name must be a text of 1 to/],
  ['a missing version', textOf({ out: {} }), /^h:1: version is missing$/],
  [
    'an error that the operation does not have',
    textOf({ out: { error: 'notFound' } }),
    /^h:1: error must be one of refused, conflict, not "notFound"$/,
  ],
  [
    'a refusal that claims something',
    textOf({ out: { error: 'refused', version: 1 } }),
    /^h:1: version is not a known field; nothing is known here$/,
  ],
  [
    'a position that is not hex',
    textOf({ op: 'commitPosition', in: { ...lane, epoch: 1, position: 'AB' }, out: {} }),
    /^h:1: position must be bytes in lower-case hex/,
  ],
  [
    'a flag that is a number',
    textOf({ out: { version: 3, changed: 1 } }),
    /^h:1: changed must be true or false$/,
  ],
  [
    'a line beyond its limit',
    `${' '.repeat(historyLimits.lineLength + 1)}\n`,
    /^h:1: is 16385 char/,
  ],
];

for (const [name, text, message] of refused) {
  test(`${name} is refused with file and line`, () => {
    throws(
      () => parseHistory(text, 'h'),
      (error: unknown) => {
        equal(isEtlError(error) && error.code, 'ETL_INVALID_ARGUMENT');
        match((error as Error).message, message);
        return true;
      },
    );
  });
}

test('what was recorded is read from its file, unanswered operations too', () => {
  let now = 0;
  const recorder = new HistoryRecorder(() => now);
  const create = recorder.invoke(1, 'create', { name: 'EtlSink/default/x', spec: 'ä' });
  const epoch = recorder.invoke(2, 'acquireEpoch', lane);
  now = 1000;
  epoch.answered({ epoch: 4, position: '00ff' });
  recorder.invoke(3, 'commitPosition', { ...lane, epoch: 4, position: '01' });
  create.answered({ version: 2, changed: true });
  throws(() => create.answered({ version: 2 }), /answered already/);
  const history = recorder.history();
  deepEqual(
    history.map(({ callNs, returnNs }) => [callNs, returnNs]),
    [
      [0, 1002],
      [1, 1000],
      [1001, null],
    ],
  );
  const folder = mkdtempSync(join(tmpdir(), 'history-'));
  try {
    const file = join(folder, 'h.jsonl');
    writeHistory(file, history.toReversed());
    deepEqual(readHistory(file), history);
    throws(() => readHistory(folder), /is not a file$/);
    throws(() => readHistory(join(folder, 'none')), /can not be opened/);
    writeFileSync(file, Buffer.from([0x22, 0xff, 0x22, 0x0a]));
    throws(() => readHistory(file), /is not UTF-8$/);
    truncateSync(file, historyLimits.fileBytes + 1);
    throws(() => readHistory(file), /is 268435457 bytes long and may be 268435456$/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a history without operations is one', () => {
  deepEqual(parseHistory('', 'h'), []);
  equal(formatHistory([]), '');
});

test('the text of a history reads the same, whatever its order', () => {
  const operations = parseHistory(textOf({ id: 2, callNs: 15 }, {}), 'h');
  const ids = parseHistory(formatHistory(operations), 'h').map(({ id }: Operation) => id);
  deepEqual(ids, [1, 2]);
});
