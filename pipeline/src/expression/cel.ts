// One CEL expression: parsed and type-checked once by the library, bounded in size, nesting and work, its regular
// expressions linear. The library interprets its own syntax tree; nothing here or there makes code of text.

import { AssertionFailure, EtlError, isEtlError, limits, type RecordBatch } from '@etl-router/core';
import { Environment } from '@marcbachmann/cel-js';
import { type EvaluationFailure, type FailureCode, failureAt } from './failure.ts';
import { compilePattern, type LinearPattern } from './linear-pattern.ts';
import { CostExceeded, Meter, meterNode, meterStep } from './meter.ts';
import { RecordView, recordFields } from './record-view.ts';
import {
  type CelNode,
  childrenOf,
  comprehensionOf,
  recordFieldOf,
  stringLiteral,
} from './syntax.ts';

/** Which parts of a record an expression reads. */
export interface ExpressionNeeds {
  /** The payload, parsed. */
  readonly data: boolean;
  readonly headers: boolean;
}

/** A compiled expression. Not re-entrant: one evaluation at a time. */
export interface CelProgram {
  readonly needs: ExpressionNeeds;
  /** The static type: `dyn` where only the data tells. */
  readonly type: string;
  /** The checked syntax tree. */
  readonly root: CelNode;
  /** The value for record `index`, in the library's types. */
  evaluate(batch: RecordBatch, index: number): unknown;
}

const environment = createEnvironment();

/** JSON has one kind of number, so arithmetic joins int and double; the result is a double. */
function createEnvironment(): Environment {
  const created = new Environment({
    homogeneousAggregateLiterals: false,
    limits: {
      maxAstNodes: limits.expressionMaxNodes,
      maxDepth: limits.expressionMaxDepth,
      maxListElements: limits.expressionMaxNodes,
      maxMapEntries: limits.expressionMaxNodes,
    },
  });
  created.registerType('Record', { ctor: RecordView, fields: { ...recordFields } });
  created.registerVariable('record', 'Record');
  const arithmetic: { readonly [operator: string]: (a: number, b: number) => number } = {
    '+': (a, b) => a + b,
    '-': (a, b) => a - b,
    '*': (a, b) => a * b,
    '/': (a, b) => a / b,
    '%': (a, b) => a % b,
  };
  for (const [operator, apply] of Object.entries(arithmetic)) {
    const mixed = (a: number | bigint, b: number | bigint): number => apply(Number(a), Number(b));
    created.registerOperator(`int ${operator} double: double`, mixed);
    created.registerOperator(`double ${operator} int: double`, mixed);
    if (operator === '%') created.registerOperator('double % double: double', mixed);
  }
  return created;
}

/** Compiles one expression. Throws ETL_INVALID_ARGUMENT that says what is wrong and where. */
export function compileCel(text: string): CelProgram {
  if (Buffer.byteLength(text) > limits.expressionMaxBytes) {
    throw refused(`is longer than ${limits.expressionMaxBytes} bytes`);
  }
  const parsed = parse(text);
  const root = parsed.ast as unknown as CelNode;
  const analysis = analyse(root);
  const checked = parsed.check();
  if (!checked.valid) throw refused(describe(checked.error));
  const meter = new Meter();
  for (const node of analysis.nodes) {
    const comprehension = comprehensionOf(node);
    if (comprehension !== undefined) meterStep(comprehension.step, meter);
    meterNode(node, meter);
  }
  for (const [node, pattern] of analysis.patterns) runLinear(node, pattern, meter);
  const view = new RecordView();
  const context = { record: view };
  return {
    needs: analysis.needs,
    type: checked.type ?? 'dyn',
    root,
    evaluate(batch, index) {
      view.moveTo(batch, index);
      meter.reset();
      try {
        const value: unknown = parsed(context);
        return meter.exceeded ? failureAt('COST_EXCEEDED', '') : value;
      } catch (error) {
        return toFailure(error, text);
      } finally {
        view.clear();
      }
    },
  };
}

function parse(text: string): ReturnType<Environment['parse']> {
  try {
    return environment.parse(text);
  } catch (error) {
    if (error instanceof RangeError) throw refused('is nested too deeply');
    throw refused(describe(error));
  }
}

function refused(why: string): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', `the expression ${why}`);
}

/** The library's message without its drawing, with the place in the text. */
function describe(error: unknown): string {
  const { summary, range } = error as { summary?: string; range?: { start: number } };
  const what = summary ?? (error instanceof Error ? (error.message.split('\n')[0] ?? '') : '');
  const at = range === undefined ? '' : ` at character ${range.start + 1}`;
  return `is refused${at}: ${what}`;
}

interface Analysis {
  /** Every node that can run, each once. */
  readonly nodes: ReadonlySet<CelNode>;
  readonly patterns: ReadonlyMap<CelNode, LinearPattern>;
  readonly needs: ExpressionNeeds;
}

function analyse(root: CelNode): Analysis {
  const nodes = new Set<CelNode>();
  const patterns = new Map<CelNode, LinearPattern>();
  const fields = new Set<string>();
  const visit = (node: CelNode, comprehensions: number): void => {
    if (nodes.has(node)) return;
    nodes.add(node);
    const field = recordFieldOf(node);
    if (field !== undefined) {
      fields.add(field);
      return;
    }
    checkNode(node);
    if (node.op === 'id' && node.args === 'record')
      for (const all of ['data', 'headers']) fields.add(all);
    const pattern = patternOf(node);
    if (pattern !== undefined) patterns.set(node, pattern);
    const comprehension = comprehensionOf(node);
    const depth = comprehensions + (comprehension === undefined ? 0 : 1);
    if (depth > limits.expressionMaxComprehensions) {
      throw refused(`nests more than ${limits.expressionMaxComprehensions} comprehensions`);
    }
    for (const child of childrenOf(node)) visit(child, depth);
  };
  visit(root, 0);
  return { nodes, patterns, needs: { data: fields.has('data'), headers: fields.has('headers') } };
}

/** What the library allows and we do not: bindings grow without a bound, and a few names are lost or shadowed. */
function checkNode(node: CelNode): void {
  if (node.op === 'id' && node.args === 'cel') throw refused('uses cel.bind, which is not offered');
  if (comprehensionOf(node)?.iterVarName === 'record') {
    throw refused('names a variable of its own "record"');
  }
  if (node.op !== 'map') return;
  for (const [key] of node.args as readonly (readonly [CelNode, CelNode])[]) {
    const name = stringLiteral(key);
    if (name === '__proto__' || name === 'constructor' || name === 'prototype') {
      throw refused(`makes a field named ${name}`);
    }
  }
}

function patternOf(node: CelNode): LinearPattern | undefined {
  if (node.op !== 'rcall') return undefined;
  const [name, , args] = node.args as [string, CelNode, readonly CelNode[]];
  if (name !== 'matches' || args.length !== 1) return undefined;
  const pattern = stringLiteral(args[0]);
  if (pattern === undefined) throw refused('needs a literal as the pattern of matches()');
  return compilePattern(pattern);
}

/** Characters that RE2's algorithm reads for one unit; the built-in engine reads 64. */
const re2CharactersPerUnit = 4;

/** Puts our matcher in place of the library's, whose time can be exponential. */
function runLinear(node: CelNode, pattern: LinearPattern, meter: Meter): void {
  const { handle } = node;
  node.handle = (args, a, b, c) => {
    const [receiver] = args as readonly unknown[];
    if (typeof receiver !== 'string') return handle?.(args, a, b, c);
    meter.charge(1 + Math.ceil(receiver.length / (pattern.native ? 64 : re2CharactersPerUnit)));
    return pattern.test(receiver);
  };
}

const codes: { readonly [libraryCode: string]: FailureCode } = {
  no_such_key: 'NO_SUCH_FIELD',
  index_out_of_bounds: 'NO_SUCH_FIELD',
  index_out_of_range: 'NO_SUCH_FIELD',
  no_such_overload: 'WRONG_TYPE',
  no_matching_overload: 'WRONG_TYPE',
  invalid_logical_operand: 'WRONG_TYPE',
  invalid_condition_type: 'WRONG_TYPE',
  invalid_comprehension_range: 'WRONG_TYPE',
  invalid_list_element_type: 'WRONG_TYPE',
  field_type_mismatch: 'WRONG_TYPE',
  list_item_type_mismatch: 'WRONG_TYPE',
  division_by_zero: 'ARITHMETIC',
  modulo_by_zero: 'ARITHMETIC',
  numeric_overflow: 'ARITHMETIC',
};

/** Messages of the library can quote data, so only its code and its place in the expression are kept. */
function toFailure(error: unknown, text: string): EvaluationFailure {
  if (error instanceof AssertionFailure) throw error;
  if (error instanceof CostExceeded) return failureAt('COST_EXCEEDED', '');
  if (isEtlError(error)) {
    if (error.code !== 'ETL_RECORD_MALFORMED') throw error;
    return failureAt('MALFORMED_PAYLOAD', '');
  }
  const { code, range } = error as { code?: string; range?: { start: number; end: number } };
  const part = range === undefined ? '' : text.slice(range.start, range.end);
  if (code === undefined) return failureAt('FAILED', part);
  const known = codes[code] ?? (/conversion|invalid_/.test(code) ? 'CONVERSION' : 'FAILED');
  return failureAt(known, part);
}
