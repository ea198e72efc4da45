// What is wrong, or worth knowing, about the objects people apply. Every check of this package reports findings
// instead of throwing at the first fault, so that one answer names them all. The codes are a closed list.

/** Every finding's code and what it means; documented in docs/reference/manifests.md. */
export const findingCodes = {
  BadExpression: 'A condition does not compile, or may cost more than is allowed.',
  BadName: 'A name is not what RFC 1123 allows.',
  BadValue: 'A value has the right type but is malformed or out of bounds.',
  CrossNamespaceRef: 'A reference leaves the namespace of its object.',
  Cycle: 'Edges lead from a stage back to itself.',
  DeadEnd: 'A source or transform has no way to a sink.',
  DuplicateEdge: 'Two edges join the same two stages.',
  DuplicateObject: 'Two objects of one file have the same kind, namespace and name.',
  DuplicateStage: 'Two stages have the same name.',
  EdgeIntoSource: 'An edge leads into a source.',
  EdgeOutOfSink: 'An edge leads out of a sink.',
  GuaranteeImpossible: 'The stages can not give the delivery that is required.',
  GuaranteeUnknown:
    'A stage has not said yet what it can do, so the required delivery is not confirmed.',
  InlineSecret: 'A password or key stands in the manifest itself.',
  KindMismatch: 'A reference names an object of another kind.',
  LossyOverflow: 'An overflow policy weakens the guarantee.',
  MissingField: 'A field that is needed is absent.',
  MixedEdges: 'Edges into one stage differ in overflow or required.',
  NoSink: 'The pipeline has no sink.',
  NoSource: 'The pipeline has no source.',
  NothingRequired: 'No sink is reached by required edges alone.',
  SelfEdge: 'An edge leads from a stage to itself.',
  Syntax: 'The text is not YAML or JSON.',
  TooLarge: 'A bound on size, depth or count is passed.',
  Unreachable: 'A transform or sink is reached by no source.',
  UnresolvedRef: 'No object has the kind and name that a reference gives.',
  UnevenMeeting: 'Branches that do not wait for each other meet again in one stage.',
  UnknownField: 'A field does not exist.',
  UnknownKind: 'The apiVersion or kind is not one that is accepted.',
  UnknownStage: 'An edge names a stage that does not exist.',
  Unsupported: 'The field is known, but this version does not offer what it asks for.',
  WrongType: 'A value has another type than the field.',
} as const;

export type FindingCode = keyof typeof findingCodes;

/** `error`: the object is refused. `warning`: it is accepted and may not do what was meant. */
export type Severity = 'error' | 'warning';

export interface Finding {
  readonly severity: Severity;
  readonly code: FindingCode;
  /** `Kind namespace/name`, as far as it is known; else `document N`. */
  readonly object: string;
  /** Where in the object, such as `spec.edges[2].when`; empty for all of it. */
  readonly path: string;
  /** What is wrong, in one sentence. */
  readonly message: string;
  /** The way out, where there is one to name. */
  readonly suggestion: string | undefined;
  /** Line of the text, from 1, where it is known. */
  readonly line: number | undefined;
}

/** A finding as a check states it; the object is known to the {@link Findings} it goes to. */
export interface Remark {
  readonly code: FindingCode;
  readonly path: string;
  readonly message: string;
  readonly suggestion?: string | undefined;
  readonly severity?: Severity;
}

/** Collects the findings about one object. */
export class Findings {
  readonly object: string;
  readonly list: Finding[] = [];
  readonly #explained = new Set<string>();

  constructor(object: string) {
    this.object = object;
  }

  add(remark: Remark): void {
    const { code, path, message, suggestion, severity = 'error' } = remark;
    if (code === 'MissingField' && this.#explained.has(path)) return;
    this.list.push({
      severity,
      code,
      object: this.object,
      path,
      message,
      suggestion,
      line: undefined,
    });
  }

  /** The field at this path is there under a wrong name, which is an error already: that it is missing is not told too. */
  explainMissing(path: string): void {
    this.#explained.add(path);
    const at = this.list.findIndex((one) => one.code === 'MissingField' && one.path === path);
    if (at >= 0) this.list.splice(at, 1);
  }

  get hasErrors(): boolean {
    return this.list.some(isErrorFinding);
  }
}

/** True for a finding that refuses its object. */
export function isErrorFinding(finding: Finding): boolean {
  return finding.severity === 'error';
}

/** One line for people: where, what, and the way out. */
export function formatFinding(finding: Finding): string {
  const { object, path, message, suggestion, line } = finding;
  const where = [object, path, line === undefined ? '' : `line ${line}`].filter(Boolean).join(', ');
  return `${where}: ${message}${suggestion === undefined ? '' : `; ${suggestion}`}`;
}
