// What the engine and the transforms use: conditions and expressions compiled once, evaluated record by record. A
// condition that has no value for a record does not hold for it; the failure is returned so that it can be counted.

import { EtlError, type RecordBatch } from '@etl-router/core';
import type { Condition } from '../model.ts';
import { type CelProgram, compileCel, type ExpressionNeeds } from './cel.ts';
import { type EvaluationFailure, failureAt, isEvaluationFailure } from './failure.ts';
import { compileNative } from './native.ts';
import { compileTree } from './tree.ts';
import { toJsonValue } from './value.ts';

/** A compiled condition. Not re-entrant: one test at a time. */
export interface CompiledCondition {
  readonly needs: ExpressionNeeds;
  /** Whether it holds for record `index`; a failure counts as false and says why. */
  test(batch: RecordBatch, index: number): boolean | EvaluationFailure;
}

/** A compiled expression. Not re-entrant: one evaluation at a time. */
export interface CompiledExpression {
  readonly needs: ExpressionNeeds;
  /** Its value for record `index` as JSON carries it (bigint beyond 2^53), or why there is none. */
  evaluate(batch: RecordBatch, index: number): unknown;
}

/** Compiles the condition of an edge or a filter. Throws ETL_INVALID_ARGUMENT that says what is wrong. */
export function compileCondition(condition: Condition): CompiledCondition {
  if ('tree' in condition) return compileTree(condition.tree);
  const program = compileBoolean(condition.cel);
  const native = compileNative(program.root, condition.cel);
  return native === undefined
    ? interpreted(program, condition.cel)
    : { needs: program.needs, test: native };
}

/** The same condition on the library's interpreter, whatever its kind: what tests compare with. */
export function interpretCondition(cel: string): CompiledCondition {
  return interpreted(compileBoolean(cel), cel);
}

function compileBoolean(cel: string): CelProgram {
  const program = compileCel(cel);
  if (program.type === 'bool' || program.type === 'dyn') return program;
  const message = `the expression gives ${program.type}; a condition is true or false`;
  throw new EtlError('ETL_INVALID_ARGUMENT', message);
}

function interpreted(program: CelProgram, text: string): CompiledCondition {
  const notBoolean = failureAt('WRONG_TYPE', text);
  return {
    needs: program.needs,
    test(batch, index) {
      const value = program.evaluate(batch, index);
      return typeof value === 'boolean' || isEvaluationFailure(value) ? value : notBoolean;
    },
  };
}

/** Compiles an expression whose value is used, as in a map. Throws ETL_INVALID_ARGUMENT that says what is wrong. */
export function compileExpression(text: string): CompiledExpression {
  const program = compileCel(text);
  return {
    needs: program.needs,
    evaluate: (batch, index) => toJsonValue(program.evaluate(batch, index)),
  };
}
