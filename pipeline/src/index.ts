// The pipeline model: what people write, what it means, whether it can run and where.

export { readCondition, readConditionTree } from './condition-tree.ts';
export type { ExpressionNeeds } from './expression/cel.ts';
export {
  type CompiledCondition,
  type CompiledExpression,
  compileCondition,
  compileExpression,
} from './expression/condition.ts';
export { EvaluationFailure, type FailureCode, isEvaluationFailure } from './expression/failure.ts';
export { compilePattern, type LinearPattern } from './expression/linear-pattern.ts';
export { Fields, openFields, type Placed } from './field-reader.ts';
export {
  type Finding,
  type FindingCode,
  Findings,
  findingCodes,
  formatFinding,
  isErrorFinding,
  type Remark,
  type Severity,
} from './finding.ts';
export { drawPipeline, type GraphFormat, graphFormats } from './graph.ts';
export {
  type CapabilityLookup,
  checkGuarantee,
  computeGuarantee,
  type DeliveryGuarantee,
  type PipelineGuarantee,
  type Promised,
  type SinkGuarantee,
  type StageCapabilities,
  type Surroundings,
  type WeakestLink,
} from './guarantee.ts';
export {
  describeObject,
  type ParsedManifests,
  type ParseManifestsOptions,
  parseManifests,
  parseManifestsStrictly,
  parsePipelineConfig,
  readManifest,
} from './manifest.ts';
export {
  apiVersion,
  type Condition,
  type ConditionTree,
  type ConnectorSpec,
  type Delivery,
  type Edge,
  type Guarantee,
  guarantees,
  type Json,
  type JsonObject,
  type Manifest,
  type ObjectKind,
  type ObjectMetadata,
  type Overflow,
  type OverflowPolicy,
  objectKinds,
  type Pipeline,
  type PipelineState,
  type RetryPolicy,
  type Stage,
  type StageKind,
  type WatermarkPolicy,
} from './model.ts';
export { isLabel, isSubdomain, labelProblem, subdomainProblem, toLabel } from './names.ts';
export {
  connectorOf,
  kindOfStage,
  lookupIn,
  type ManifestLookup,
  type Normalized,
  normalizePipeline,
} from './normalize.ts';
export {
  connectorsCapability,
  type PipelinePlan,
  type Plan,
  type PlanInput,
  type PlanService,
  type PlanSidecar,
  plan,
  type StagePlacement,
  type UnplacedReason,
  type UnplacedStage,
} from './plan.ts';
export {
  indentJson,
  toManifestJson,
  toManifestList,
  toManifestYaml,
  toPlainManifest,
  toYaml,
} from './print.ts';
export { isDecoupling, type Segmentation, type SegmentFault, segmentsFrom } from './segments.ts';
export { didYouMean } from './suggest.ts';
export { validatePipeline } from './validate.ts';
export {
  parseYaml,
  readYaml,
  type YamlDocument,
  type YamlLimits,
  type YamlProblem,
  type YamlText,
} from './yaml-text.ts';
