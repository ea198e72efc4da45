// Reads the condition of an edge as people write it: CEL text, or the earlier system's tree in either spelling
// (recordType or record_type). The result is one of the two forms of the model; expression/ compiles both.

import { limits } from '@etl-router/core';
import { type Fields, isJsonObject, openFields, type Placed, typeName } from './field-reader.ts';
import type { Findings } from './finding.ts';
import type { Condition, ConditionTree } from './model.ts';

/** The condition that a value states; undefined when it states none or was reported. */
export function readCondition(findings: Findings, at: Placed): Condition | undefined {
  if (typeof at.value === 'string') return { cel: at.value };
  if (!isJsonObject(at.value)) {
    const message = `needs CEL as a string, or a condition as a map, not ${typeName(at.value)}`;
    findings.add({ code: 'WrongType', path: at.path, message });
    return undefined;
  }
  const fields = openFields(findings, at);
  if (fields === undefined) return undefined;
  const cel = fields.text('cel') ?? fields.text('expression');
  if (cel !== undefined) {
    fields.end();
    return { cel };
  }
  const tree = readConditionTree(findings, at);
  return tree === undefined ? undefined : { tree };
}

/** The condition tree that a map states; undefined when it was reported. */
export function readConditionTree(
  findings: Findings,
  at: Placed,
  depth = 0,
): ConditionTree | undefined {
  if (depth >= limits.expressionMaxDepth) {
    const message = `nested deeper than ${limits.expressionMaxDepth}`;
    findings.add({ code: 'TooLarge', path: at.path, message });
    return undefined;
  }
  const fields = openFields(findings, at);
  if (fields === undefined) return undefined;
  const tree: Mutable<ConditionTree> = {};
  readLeaves(fields, tree);
  for (const name of ['and', 'or'] as const) {
    if (!fields.has(name)) continue;
    const branches = fields
      .list(name)
      .map((branch) => readConditionTree(findings, branch, depth + 1));
    if (branches.every((branch) => branch !== undefined)) tree[name] = branches;
  }
  const not = fields.raw('not');
  if (not !== undefined) {
    const inner = readConditionTree(findings, { value: not, path: fields.at('not') }, depth + 1);
    if (inner !== undefined) tree.not = inner;
  }
  if (isStated(fields, 'always')) tree.and = [...(tree.and ?? [])];
  if (isStated(fields, 'never')) tree.or = [];
  fields.end();
  if (fields.names().length === 0) {
    fields.report('', { code: 'MissingField', message: 'states no condition' });
  }
  return tree;
}

/** Whether `always` or `never` is there. `false` would state nothing, which is no condition that holds for nothing. */
function isStated(fields: Fields, name: 'always' | 'never'): boolean {
  const isTrue = fields.boolean(name, true);
  if (isTrue) return fields.has(name);
  const other = name === 'always' ? 'never' : 'always';
  fields.report(name, { code: 'BadValue', message: `can only be true; write {${other}: true}` });
  return false;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function readLeaves(fields: Fields, tree: Mutable<ConditionTree>): void {
  const recordType = spelled(fields, 'recordType', (name) => fields.text(name));
  if (recordType !== undefined) tree.recordType = recordType;
  const exists = spelled(fields, 'metadataExists', (name) => fields.text(name));
  if (exists !== undefined) tree.metadataExists = exists;
  const equals = spelled(fields, 'metadataEquals', (name) => fields.fields(name));
  const [key, value] = [equals?.requiredText('key'), equals?.requiredText('value')];
  if (key !== undefined && value !== undefined) tree.metadataEquals = { key, value };
  equals?.end();
  const matches = spelled(fields, 'metadataMatches', (name) => fields.fields(name));
  const [matchKey, pattern] = [matches?.requiredText('key'), matches?.requiredText('pattern')];
  if (matchKey !== undefined && pattern !== undefined) {
    tree.metadataMatches = { key: matchKey, pattern };
  }
  matches?.end();
  const compare = spelled(fields, 'metadataCompare', (name) => fields.fields(name));
  if (compare !== undefined) readCompare(compare, tree);
}

const operators = ['>', '<', '>=', '<='] as const;

function readCompare(compare: Fields, tree: Mutable<ConditionTree>): void {
  const key = compare.requiredText('key');
  const operatorGiven = compare.requiredText('operator');
  const operator = compare.oneOf('operator', operators, '>');
  const value = compare.raw('value');
  compare.end();
  if (typeof value !== 'number') {
    compare.report('value', {
      code: 'WrongType',
      message: `needs a number, not ${typeName(value)}`,
    });
  } else if (key !== undefined && operatorGiven !== undefined) {
    tree.metadataCompare = { key, operator, value };
  }
}

/** Reads a field under its name or, when that is absent, under the same name in snake case. */
function spelled<T>(fields: Fields, name: string, read: (name: string) => T): T {
  const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const used = fields.has(snake) && !fields.has(name) ? snake : name;
  fields.raw(name);
  return read(used);
}
