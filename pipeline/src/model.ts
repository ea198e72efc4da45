// The pipeline as every part of the product understands it after normalisation: one graph, all defaults filled in,
// durations in milliseconds, sizes in bytes. normalize.ts makes it from what people write.

/** The API group and version of every object. */
export const apiVersion = 'etl.router/v1';

/** Kinds that people apply, in the order in which they depend on each other. */
export const objectKinds = ['EtlSource', 'EtlTransform', 'EtlSink', 'EtlPipeline'] as const;
export type ObjectKind = (typeof objectKinds)[number];

/** Any JSON value; 64-bit integers are bigint. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: Json;
}

/** An object as stored: what was applied, with its namespace filled in. */
export interface Manifest {
  readonly apiVersion: typeof apiVersion;
  readonly kind: ObjectKind;
  readonly metadata: ObjectMetadata;
  readonly spec: JsonObject;
}

export interface ObjectMetadata {
  /** An RFC 1123 subdomain: at most 253 lower-case letters, digits, `-` and `.`. */
  readonly name: string;
  /** An RFC 1123 label: at most 63 lower-case letters, digits and `-`. */
  readonly namespace: string;
  readonly labels: { readonly [name: string]: string };
  readonly annotations: { readonly [name: string]: string };
}

/** What to run a stage with: the one key of an object's spec, such as `file` or `grpc`, and its settings. */
export interface ConnectorSpec {
  readonly type: string;
  readonly config: JsonObject;
}

export type StageKind = 'source' | 'transform' | 'sink';

export interface Stage {
  /** Unique in the pipeline; an RFC 1123 label. */
  readonly name: string;
  readonly kind: StageKind;
  /** Name of the EtlSource, EtlTransform or EtlSink in the pipeline's namespace. */
  readonly ref: string;
  /** What the referenced object says; undefined while there is no such object. */
  readonly connector: ConnectorSpec | undefined;
  /** Overrides of the sink's or service's own preference. */
  readonly batch: {
    readonly maxRecords: number | undefined;
    readonly maxBytes: number | undefined;
    readonly maxWaitMs: number | undefined;
  };
}

/** What happens when an edge's target does not keep up. */
export type OverflowPolicy = 'block' | 'spill' | 'deadLetter' | 'drop';

export interface Overflow {
  readonly policy: OverflowPolicy;
  /** How long the edge may be full before spill, deadLetter or drop begin. Default 0. */
  readonly afterMs: number;
  /** Bound of the spill on disk, for `spill`. When it is full the edge blocks. Default 1 GiB. */
  readonly spillMaxBytes: number;
}

/** The earlier system's condition tree; the fields of one object are all required (and). */
export interface ConditionTree {
  readonly recordType?: string;
  readonly metadataExists?: string;
  readonly metadataEquals?: { readonly key: string; readonly value: string };
  readonly metadataMatches?: { readonly key: string; readonly pattern: string };
  readonly metadataCompare?: {
    readonly key: string;
    readonly operator: '>' | '<' | '>=' | '<=';
    readonly value: number;
  };
  readonly and?: readonly ConditionTree[];
  readonly or?: readonly ConditionTree[];
  readonly not?: ConditionTree;
}

/** A CEL expression over `record`, or the tree. */
export type Condition = { readonly cel: string } | { readonly tree: ConditionTree };

export interface Edge {
  readonly from: string;
  readonly to: string;
  /** Records it does not hold for do not take this edge. */
  readonly when: Condition | undefined;
  /** A record counts as delivered only when every required edge it takes has resolved it. Default true. */
  readonly required: boolean;
  readonly overflow: Overflow;
}

/** Delivery guarantees from weak to strong. */
export const guarantees = ['atMostOnce', 'atLeastOnce', 'effectivelyOnce', 'exactlyOnce'] as const;
export type Guarantee = (typeof guarantees)[number];

export interface RetryPolicy {
  /** Attempts in all, the first one included; 1 to 100. */
  readonly maxAttempts: number;
  readonly backoff: {
    readonly initialMs: number;
    /** 1 to 10. */
    readonly factor: number;
    readonly capMs: number;
    /** Share of the delay that is random, 0 to 1. */
    readonly jitter: number;
  };
}

export interface Delivery {
  /** Refused at validation where the stages can not give it. */
  readonly require: Guarantee;
  readonly retry: RetryPolicy;
}

export interface WatermarkPolicy {
  /** Dotted path into the JSON payload, starting with `data.`; undefined: the record's own event time. */
  readonly field: string | undefined;
  readonly allowedLatenessMs: number;
  /** A lane silent for this long no longer holds the watermark back. */
  readonly idleThresholdMs: number;
  /** What happens to records later than the allowed lateness. Default keep: they go on, marked `etl-late`. */
  readonly late: 'keep' | 'drop' | 'deadLetter';
}

export type PipelineState = 'running' | 'paused' | 'stopped';

/** The normalised pipeline. */
export interface Pipeline {
  /** `namespace/name`. */
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly state: PipelineState;
  readonly delivery: Delivery;
  readonly stages: readonly Stage[];
  readonly edges: readonly Edge[];
  readonly watermark: WatermarkPolicy;
  readonly limits: {
    /** Records between source and sinks at any time. */
    readonly inFlightRecords: number;
    /** Their bytes on the wire. */
    readonly inFlightBytes: number;
  };
  /** Stage that also receives what is dead-lettered; the store on disk always comes first. */
  readonly deadLetterSink: string | undefined;
}
