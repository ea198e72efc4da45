// Why an expression gave no value for a record. A failure is a value, not an exception: missing fields are daily life
// on a record path. Never holds anything of the payload.

/** What kind of failure, for counters; a closed list. */
export type FailureCode =
  | 'NO_SUCH_FIELD'
  | 'WRONG_TYPE'
  | 'MALFORMED_PAYLOAD'
  | 'ARITHMETIC'
  | 'CONVERSION'
  | 'COST_EXCEEDED'
  | 'FAILED';

/** The expression has no value for this record. Tell it from values with {@link isEvaluationFailure}. */
export class EvaluationFailure {
  readonly code: FailureCode;
  /** For people: what failed, and which part of the expression. */
  readonly message: string;

  constructor(code: FailureCode, message: string) {
    this.code = code;
    this.message = message;
  }
}

export function isEvaluationFailure(value: unknown): value is EvaluationFailure {
  return value instanceof EvaluationFailure;
}

const meanings: { readonly [code in FailureCode]: string } = {
  NO_SUCH_FIELD: 'there is no such field or element',
  WRONG_TYPE: 'a value has another type than is needed',
  MALFORMED_PAYLOAD: 'the payload is not JSON',
  ARITHMETIC: 'the arithmetic has no result',
  CONVERSION: 'a value can not be converted',
  COST_EXCEEDED: 'the evaluation costs more than is allowed',
  FAILED: 'the expression can not be evaluated',
};

/** A failure that names the part of the expression it comes from. */
export function failureAt(code: FailureCode, part: string): EvaluationFailure {
  const shown = part.length > 100 ? `${part.slice(0, 100)}…` : part;
  return new EvaluationFailure(code, shown === '' ? meanings[code] : `${meanings[code]}: ${shown}`);
}
