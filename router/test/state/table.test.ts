import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary } from '@bufbuild/protobuf';
import { type StoredSession, StoredSessionSchema } from '@etl-router/proto';
import fc from 'fast-check';
import { type Change, Journal, joinKey, Table } from '../../src/state/table.ts';
import { eachChange } from './harness.ts';

interface Step {
  readonly do: 'put' | 'delete' | 'replace';
  readonly keys: readonly string[];
}

const keyArbitrary = fc
  .tuple(fc.constantFrom('g', 'h'), fc.constantFrom('1', '2', '\u{10000}', '\uffee'))
  .map((parts) => joinKey(...parts));
const stepArbitrary = fc.record({
  do: fc.constantFrom('put' as const, 'delete' as const),
  keys: fc.array(keyArbitrary, { maxLength: 5 }),
});
/** A command replaces everything before it changes single rows, or it does not. */
const commandArbitrary = fc.record({
  replaces: fc.option(fc.uniqueArray(keyArbitrary, { maxLength: 5 }), { nil: undefined }),
  steps: fc.array(stepArbitrary, { maxLength: 4 }),
  isRefused: fc.boolean(),
});

function row(sessionId: string): StoredSession {
  return create(StoredSessionSchema, { sessionId });
}

test('rows put, deleted and replaced, kept or undone, are those of a map; and so is what the changes add up to', () => {
  fc.assert(
    fc.property(fc.array(commandArbitrary, { maxLength: 12 }), (commands) => {
      const journal = new Journal();
      const table = new Table(journal, {
        name: 'rows',
        tag: 't',
        schema: StoredSessionSchema,
        groupParts: 1,
      });
      let twin = new Map<string, string>();
      const all: Iterable<Change>[] = [];
      for (const [at, { replaces, steps, isRefused }] of commands.entries()) {
        const before = new Map(twin);
        const stepsOfAll: readonly Step[] =
          replaces === undefined ? steps : [{ do: 'replace', keys: replaces }, ...steps];
        for (const step of stepsOfAll) carryOut(step, `v${at}`, { table, twin });
        if (isRefused) {
          journal.rollback();
          twin = before;
        } else all.push(eachChange(journal.commit().changes));
        assert.equal(journal.isEmpty, true);
        check(table, twin);
      }
      const stored = new Map<string, string>();
      for (const { key, value } of all.flatMap((changes) => [...changes])) {
        const name = Buffer.from(key).toString('utf8').slice(1);
        if (value === undefined) stored.delete(name);
        else stored.set(name, fromBinary(StoredSessionSchema, value).sessionId);
      }
      assert.deepEqual(sorted(stored), sorted(twin));
    }),
    { numRuns: 300 },
  );
});

function carryOut(
  step: Step,
  value: string,
  {
    table,
    twin,
  }: {
    readonly table: Table<typeof StoredSessionSchema>;
    readonly twin: Map<string, string>;
  },
): void {
  if (step.do === 'replace') {
    const rows = table.emptyRows();
    for (const key of step.keys) rows.set(key, row(value));
    table.replace(rows);
    twin.clear();
  }
  for (const key of step.keys) {
    if (step.do === 'delete') {
      table.delete(key);
      twin.delete(key);
    } else {
      table.put(key, row(value));
      twin.set(key, value);
    }
  }
}

function check(table: Table<typeof StoredSessionSchema>, twin: ReadonlyMap<string, string>): void {
  const expected = sorted(twin);
  assert.deepEqual(
    table.keys().map((key) => [key, table.get(key)?.sessionId]),
    expected,
  );
  assert.equal(table.size, twin.size);
  for (const group of ['g', 'h', 'i']) {
    const keys = expected.map(([key]) => key).filter((key) => key.startsWith(`${group}\0`));
    assert.deepEqual(table.group(group), keys);
    assert.equal(table.groupSize(group), keys.length);
  }
}

function sorted(rows: ReadonlyMap<string, string>): readonly (readonly [string, string])[] {
  return [...rows].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

test('what watches are told of a table that was replaced are the keys of before and of now, as often as they ask', () => {
  const journal = new Journal();
  const options = { name: 'rows', tag: 't', schema: StoredSessionSchema };
  const table = new Table(journal, options);
  table.put('a', row('1'));
  table.put('b', row('1'));
  journal.commit();
  const rows = table.emptyRows();
  rows.set('b', row('2'));
  rows.set('c', row('2'));
  table.replace(rows);
  const { touched } = journal.commit();
  for (let time = 0; time < 2; time++)
    assert.deepEqual(new Set(touched.flatMap(({ keys }) => [...keys])), new Set(['a', 'b', 'c']));
});
