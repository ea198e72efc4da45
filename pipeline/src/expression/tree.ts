// The condition tree of the earlier system, compiled to closures. Its headers were called metadata. All fields of one
// object have to hold; an empty `and` holds, an empty `or` does not; a comparison with what is no number does not.

import type { RecordBatch } from '@etl-router/core';
import type { ConditionTree } from '../model.ts';
import type { CompiledCondition } from './condition.ts';
import { compilePattern } from './linear-pattern.ts';

/** What one object of the tree asks of a record; `headers` is read at most once a record. */
type Test = (record: TreeRecord) => boolean;

interface TreeRecord {
  readonly type: string;
  readonly headers: ReadonlyMap<string, string>;
}

class LazyRecord implements TreeRecord {
  readonly #batch: RecordBatch;
  readonly #index: number;
  #headers: ReadonlyMap<string, string> | undefined;

  constructor(batch: RecordBatch, index: number) {
    this.#batch = batch;
    this.#index = index;
  }

  get type(): string {
    return this.#batch.type(this.#index);
  }

  get headers(): ReadonlyMap<string, string> {
    this.#headers ??= this.#batch.headers(this.#index);
    return this.#headers;
  }
}

/** Compiles a tree. Throws ETL_INVALID_ARGUMENT for a pattern that is refused. */
export function compileTree(tree: ConditionTree): CompiledCondition {
  const test = compileNode(tree);
  return {
    needs: { data: false, headers: readsHeaders(tree) },
    test: (batch, index) => test(new LazyRecord(batch, index)),
  };
}

function compileNode(tree: ConditionTree): Test {
  const tests = [...leafTests(tree)];
  if (tree.and !== undefined) tests.push(...tree.and.map(compileNode));
  if (tree.or !== undefined) {
    const branches = tree.or.map(compileNode);
    tests.push((record) => branches.some((branch) => branch(record)));
  }
  if (tree.not !== undefined) {
    const inner = compileNode(tree.not);
    tests.push((record) => !inner(record));
  }
  const [only] = tests;
  if (only !== undefined && tests.length === 1) return only;
  return (record) => tests.every((test) => test(record));
}

function* leafTests(tree: ConditionTree): Generator<Test> {
  const { recordType, metadataExists, metadataEquals, metadataMatches, metadataCompare } = tree;
  if (recordType !== undefined) yield (record) => record.type === recordType;
  if (metadataExists !== undefined) yield (record) => record.headers.has(metadataExists);
  if (metadataEquals !== undefined) {
    const { key, value } = metadataEquals;
    yield (record) => record.headers.get(key) === value;
  }
  if (metadataMatches !== undefined) {
    const { key } = metadataMatches;
    const pattern = compilePattern(metadataMatches.pattern);
    yield (record) => {
      const value = record.headers.get(key);
      return value !== undefined && pattern.test(value);
    };
  }
  if (metadataCompare !== undefined) yield compareTest(metadataCompare);
}

const decimal = /^[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?$/;

function compareTest(compare: NonNullable<ConditionTree['metadataCompare']>): Test {
  const { key, operator, value: bound } = compare;
  const holds: (value: number) => boolean = {
    '>': (value: number) => value > bound,
    '<': (value: number) => value < bound,
    '>=': (value: number) => value >= bound,
    '<=': (value: number) => value <= bound,
  }[operator];
  return (record) => {
    const text = record.headers.get(key)?.trim();
    return text !== undefined && decimal.test(text) && holds(Number(text));
  };
}

function readsHeaders(tree: ConditionTree): boolean {
  const { metadataExists, metadataEquals, metadataMatches, metadataCompare } = tree;
  const leaves = [metadataExists, metadataEquals, metadataMatches, metadataCompare];
  if (leaves.some((leaf) => leaf !== undefined)) return true;
  const branches = [...(tree.and ?? []), ...(tree.or ?? []), ...(tree.not ? [tree.not] : [])];
  return branches.some(readsHeaders);
}
