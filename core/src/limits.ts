// The bounds that several packages share, each with its unit in its name. A bound that only one file needs stays
// in that file. What is full blocks or is refused with ETL_LIMIT_EXCEEDED; nothing is dropped for a bound.

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

export interface Limits {
  /** Text of manifests in one request or file. */
  readonly manifestMaxBytes: number;
  /** YAML documents in one request or file. */
  readonly manifestMaxDocuments: number;
  /** Nesting of maps and lists in one document. */
  readonly manifestMaxDepth: number;
  /** Values in one document after its aliases were followed. */
  readonly manifestMaxValues: number;
  /** Aliases (`*name`) in one document. */
  readonly manifestMaxAliases: number;
  /** Stages of one pipeline. */
  readonly pipelineMaxStages: number;
  /** Edges of one pipeline. */
  readonly pipelineMaxEdges: number;
  /** Text of one CEL expression. */
  readonly expressionMaxBytes: number;
  /** Syntax nodes of one CEL expression. */
  readonly expressionMaxNodes: number;
  /** Nesting of one CEL expression or condition tree. */
  readonly expressionMaxDepth: number;
  /** Comprehensions (all, exists, map, filter …) inside each other. */
  readonly expressionMaxComprehensions: number;
  /** Units of work one evaluation may take: a comprehension's step, an element or 64 characters that are read. */
  readonly expressionMaxCost: number;
  /** Text of one regular expression. */
  readonly patternMaxBytes: number;
}

/** The bounds in force. */
export const limits: Limits = {
  manifestMaxBytes: mebibyte,
  manifestMaxDocuments: 1000,
  manifestMaxDepth: 100,
  manifestMaxValues: 100_000,
  manifestMaxAliases: 100,
  pipelineMaxStages: 200,
  pipelineMaxEdges: 1000,
  expressionMaxBytes: 16 * kibibyte,
  expressionMaxNodes: 2000,
  expressionMaxDepth: 64,
  expressionMaxComprehensions: 3,
  expressionMaxCost: 100_000,
  patternMaxBytes: 1000,
};
