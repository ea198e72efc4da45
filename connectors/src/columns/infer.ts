// Gives columns their types from the first records a table sees. It never guesses beyond what all of them show, and
// what shows nothing (only nulls) or several things becomes JSON, which takes every later value.

import { parseDate, parseInstant } from './instant.ts';
import type { ColumnType } from './type.ts';

/** What the values of one field had in common so far. */
export interface FieldEvidence {
  booleans: number;
  integers: number;
  /** Integers that 64 bits do not hold. */
  wideIntegers: number;
  /** Integers that a double does not hold. */
  inexactIntegers: number;
  fractions: number;
  texts: number;
  dates: number;
  localTimes: number;
  zonedTimes: number;
  nested: number;
}

/** No value seen. */
export function noEvidence(): FieldEvidence {
  return {
    booleans: 0,
    integers: 0,
    wideIntegers: 0,
    inexactIntegers: 0,
    fractions: 0,
    texts: 0,
    dates: 0,
    localTimes: 0,
    zonedTimes: 0,
    nested: 0,
  };
}

/** Adds one value; null and absent ones say nothing. */
export function addEvidence(evidence: FieldEvidence, value: unknown): void {
  if (typeof value === 'boolean') evidence.booleans++;
  else if (typeof value === 'bigint') addBigint(evidence, value);
  else if (typeof value === 'string') addText(evidence, value);
  else if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) evidence.integers++;
    else evidence.fractions++;
  } else if (typeof value === 'object' && value !== null) evidence.nested++;
}

function addBigint(evidence: FieldEvidence, value: bigint): void {
  evidence.integers++;
  if (BigInt.asIntN(64, value) !== value) evidence.wideIntegers++;
  if (BigInt(Number(value)) !== value) evidence.inexactIntegers++;
  if (BigInt.asIntN(128, value) !== value) evidence.nested++;
}

function addText(evidence: FieldEvidence, value: string): void {
  evidence.texts++;
  if (evidence.texts > 1 && evidence.dates + evidence.localTimes + evidence.zonedTimes === 0)
    return;
  if (parseDate(value) !== undefined) evidence.dates++;
  else {
    const instant = parseInstant(value);
    if (instant === undefined || instant.nanos % 1000 !== 0) return;
    if (instant.zoned) evidence.zonedTimes++;
    else evidence.localTimes++;
  }
}

/** The narrowest type that takes all values seen and others like them. */
export function inferColumnType(evidence: FieldEvidence): ColumnType {
  const { booleans, integers, fractions, texts, nested } = evidence;
  const numbers = integers + fractions;
  if (nested > 0 || [booleans, numbers, texts].filter((count) => count > 0).length !== 1) {
    return { kind: 'json' };
  }
  if (booleans > 0) return { kind: 'boolean' };
  if (fractions > 0) return evidence.inexactIntegers > 0 ? { kind: 'json' } : { kind: 'double' };
  if (integers > 0) {
    return { kind: 'integer', bits: evidence.wideIntegers > 0 ? 128 : 64, signed: true };
  }
  if (evidence.dates === texts) return { kind: 'date' };
  if (evidence.zonedTimes === texts) return { kind: 'timestamp', digits: 6, zoned: true };
  if (evidence.localTimes === texts) return { kind: 'timestamp', digits: 6, zoned: false };
  return { kind: 'text' };
}
