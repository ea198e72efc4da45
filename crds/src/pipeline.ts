// EtlPipeline: what pipeline/ reads, in the shapes that a schema can say. Plain names in place of references, and the
// condition tree in snake case, are spellings that only etlctl takes.

import { limits } from '@etl-router/core';
import type { CustomResource } from './custom-resource.ts';
import {
  anything,
  choice,
  count,
  duration,
  flag,
  fraction,
  list,
  type ObjectSchema,
  object,
  type Rule,
  required,
  type Schema,
  text,
} from './schema.ts';
import {
  byteSize,
  clusterRef,
  clusterRefStays,
  labelPattern,
  lastColumns,
  objectName,
  readyColumn,
  remark,
  statusFields,
} from './shared.ts';

const stageKinds = { source: 'EtlSource', transform: 'EtlTransform', sink: 'EtlSink' } as const;
type StageKind = keyof typeof stageKinds;

const stageName = text('Name of the stage, unique in the pipeline.', {
  max: 63,
  pattern: labelPattern,
});

/** The fields of a reference beside its name. */
const scopeFields = (kind: StageKind): { readonly [name: string]: Schema } => ({
  namespace: text('Namespace of the pipeline itself, or left out: references stay in it.', {
    max: 63,
    pattern: labelPattern,
  }),
  kind: choice('Kind of the object.', [stageKinds[kind]]),
});

function reference(kind: StageKind): ObjectSchema {
  const wanted = stageKinds[kind];
  return object(
    `The ${wanted}, of the same namespace.`,
    {
      name: objectName(`Name of the ${wanted}.`),
      ref: objectName('Another spelling of name.'),
      ...scopeFields(kind),
    },
    { oneOf: [['name', 'ref']], typeName: `${wanted}Ref` },
  );
}

const batch: ObjectSchema = object(
  'How many records are handed over at once. Left out: as the connector or service prefers.',
  {
    maxRecords: count('Records of a batch at most.', { min: 1, max: 1_000_000 }),
    maxBytes: byteSize('Bytes of a batch at most, 1Ki to 1Gi.', {
      min: '1Ki',
      max: '1Gi',
      isChecked: false,
    }),
    maxWait: duration('How long records wait for others.', { min: '0s', max: '1h' }),
  },
  { typeName: 'Batch' },
);

/** An item of a line: a reference, or a stage of its own with a reference in it. */
function lineItem(kind: StageKind): ObjectSchema {
  const wanted = stageKinds[kind];
  const field = `${kind}Ref`;
  const isStage = `has(self.${field}) || has(self.batch)`;
  return object(
    `A reference to the ${wanted}, as name; or a stage with ${field}, and name and batch where they are wanted.`,
    {
      name: objectName(`Name of the ${wanted}; beside ${field} or batch: name of the stage.`),
      ref: objectName(`Name of the ${wanted}.`),
      [field]: reference(kind),
      batch,
      ...scopeFields(kind),
    },
    {
      rules: [
        {
          rule: `${isStage} ? has(self.ref) != has(self.${field}) : has(self.ref) != has(self.name)`,
          message: `needs name alone, or exactly one of ref and ${field}`,
        },
        {
          rule: `!(${isStage}) || !(has(self.kind) || has(self.__namespace__))`,
          message: `namespace and kind belong into ${field}`,
        },
        {
          rule: `!(${isStage}) || !has(self.name) || (size(self.name) <= 63 && !self.name.contains('.'))`,
          message: 'name needs to be at most 63 of a-z, 0-9 and -: it names a stage',
        },
      ],
    },
  );
}

const delivery: ObjectSchema = object(
  'What has to hold of the delivery.',
  {
    require: choice(
      'The guarantee that the stages have to give; refused where they can not.',
      ['atMostOnce', 'atLeastOnce', 'effectivelyOnce', 'exactlyOnce'],
      { fallback: 'atLeastOnce' },
    ),
    retry: object(
      'What happens to a record that fails.',
      {
        maxAttempts: count('Attempts in all, the first one included.', {
          min: 1,
          max: 100,
          fallback: 8,
        }),
        backoff: object(
          'Pauses between the attempts.',
          {
            initial: duration('The first pause.', { min: '1ms', max: '24h', fallback: '200ms' }),
            factor: fraction('By what each pause is longer than the one before.', {
              min: 1,
              max: 10,
              fallback: 2,
            }),
            cap: duration('The longest pause. Left out: 1m, or initial where that is longer.', {
              min: '1ms',
              max: '24h',
            }),
            jitter: fraction('Share of a pause that is left to chance.', {
              min: 0,
              max: 1,
              fallback: 0.2,
            }),
          },
          {
            fallback: {},
            rules: [
              {
                rule: '!has(self.cap) || duration(self.cap) >= duration(self.initial)',
                message: 'cap is below initial: raise the one or lower the other',
              },
            ],
          },
        ),
      },
      { fallback: {} },
    ),
  },
  { fallback: {} },
);

const stage: ObjectSchema = object(
  'One stage.',
  {
    name: required(stageName),
    sourceRef: reference('source'),
    transformRef: reference('transform'),
    sinkRef: reference('sink'),
    batch,
    scale: object(
      'Accepted and without effect in this version: a stage runs once a lane.',
      {
        min: count('Instances at least.', { min: 0, max: 1000 }),
        max: count('Instances at most.', { min: 1, max: 1000 }),
      },
      {
        rules: [
          {
            rule: '!has(self.max) || self.max >= (has(self.min) ? self.min : 1)',
            message: 'max is below min: raise the one or lower the other',
          },
        ],
      },
    ),
  },
  { oneOf: [['sourceRef', 'transformRef', 'sinkRef']] },
);

const overflow: ObjectSchema = object(
  'What happens when the target does not keep up. Left out: the edge waits.',
  {
    policy: choice(
      'block: wait. spill: keep records on disk. deadLetter: put them there. drop: lose them.',
      ['block', 'spill', 'deadLetter', 'drop'],
      { fallback: 'block' },
    ),
    after: duration('How long the edge may be full first.', {
      min: '0s',
      max: '24h',
      fallback: '0s',
    }),
    spill: object('Where records are kept, for policy spill.', {
      medium: choice('What they are kept on.', ['volume'], { fallback: 'volume' }),
      maxBytes: byteSize('Bytes at most, 1Mi to 1Pi; when it is full the edge blocks.', {
        min: '1Mi',
        max: '1Pi',
        isChecked: false,
        fallback: '1Gi',
      }),
    }),
  },
  {
    rules: [
      {
        rule: "!has(self.spill) || self.policy == 'spill'",
        message: 'spill is for policy spill: set the policy, or leave spill out',
      },
    ],
  },
);

const edge: ObjectSchema = object(
  'One connection.',
  {
    from: required(text('Stage that records come from.', { max: 63, pattern: labelPattern })),
    to: required(text('Stage that they go to.', { max: 63, pattern: labelPattern })),
    when: anything(
      "Which records take the edge: CEL such as record.type == 'order', or a condition tree with recordType, metadataExists, metadataEquals, metadataMatches, metadataCompare, and, or, not. Left out: all.",
      { maxLength: limits.expressionMaxBytes, max: 20 },
    ),
    required: flag('Whether a record counts as delivered only when this edge has resolved it.', {
      fallback: true,
    }),
    overflow,
  },
  {
    rules: [
      { rule: 'self.from != self.to', message: 'leads from a stage to itself: name another stage' },
    ],
  },
);

const watermark: ObjectSchema = object(
  'Event time.',
  {
    field: text(
      "Where the event time is, such as data.updated_at. Left out: the record's own event time.",
      { max: 1024, pattern: '^data(\\.[^.]+){1,20}$' },
    ),
    allowedLateness: duration('How much later than the watermark a record may be.', {
      min: '0s',
      max: '720h',
      fallback: '0s',
    }),
    idle: object(
      'When a lane no longer holds the watermark back.',
      {
        threshold: duration('Silence of the lane after which it does not.', {
          min: '1ms',
          max: '24h',
          fallback: '1m',
        }),
      },
      { fallback: {} },
    ),
    late: choice(
      'What happens to later records. keep: they go on, marked etl-late.',
      ['keep', 'drop', 'deadLetter'],
      { fallback: 'keep' },
    ),
  },
  { fallback: {} },
);

const inFlight: ObjectSchema = object(
  'What may be between source and sinks at any time.',
  {
    inFlightRecords: count('Records.', { min: 1, max: 10_000_000, fallback: 10_000 }),
    inFlightBytes: byteSize('Their bytes.', { min: '64Ki', max: '1Ti', fallback: '64Mi' }),
  },
  { fallback: {} },
);

const isLine = 'has(self.source) || has(self.transforms) || has(self.sink) || has(self.sinks)';
const hasStages = 'has(self.stages) || has(self.edges)';
/** That an edge's end is a stage, and not one of the kind that has no such end. */
const endExists = (end: 'from' | 'to', not: 'sinkRef' | 'sourceRef'): string =>
  `!has(self.edges) || (has(self.stages) && self.edges.all(edge, self.stages.exists(stage, stage.name == edge.${end} && !has(stage.${not}))))`;

const graphRules: readonly Rule[] = [
  {
    rule: `(${isLine}) != (${hasStages})`,
    message: 'needs either stages and edges, or source, transforms and sink',
  },
  {
    rule: `!(${isLine}) || (has(self.source) && has(self.sink) != (has(self.sinks) && size(self.sinks) > 0))`,
    message: 'needs a source, and either sink or sinks',
  },
  {
    rule: '!has(self.stages) || (self.stages.exists(stage, has(stage.sourceRef)) && self.stages.exists(stage, has(stage.sinkRef)))',
    message: 'stages needs at least one with sourceRef and one with sinkRef',
  },
  {
    rule: endExists('from', 'sinkRef'),
    message: 'edges[].from needs to name one of stages that is no sink',
  },
  {
    rule: endExists('to', 'sourceRef'),
    message: 'edges[].to needs to name one of stages that is no source',
  },
];

const spec: ObjectSchema = object(
  'What flows where, as stages and edges or, where it is a line, as source, transforms and sink.',
  {
    description: remark,
    clusterRef,
    state: choice(
      'running; paused: places and positions are kept; stopped: positions are kept.',
      ['running', 'paused', 'stopped'],
      { fallback: 'running' },
    ),
    delivery,
    stages: list('The stages.', stage, { max: limits.pipelineMaxStages, by: ['name'] }),
    edges: list('Which stage hands records to which.', edge, {
      max: limits.pipelineMaxEdges,
      by: ['from', 'to'],
    }),
    source: lineItem('source'),
    transforms: list('The transforms of a line, in order.', lineItem('transform'), {
      max: limits.pipelineMaxStages - 2,
    }),
    sink: lineItem('sink'),
    sinks: list('The sinks of a line that has several; each gets all records.', lineItem('sink'), {
      max: limits.pipelineMaxStages - 2,
    }),
    watermark,
    limits: inFlight,
    deadLetter: object('What becomes of records that can not be processed.', {
      sinkRef: required({
        ...reference('sink'),
        description: 'EtlSink that gets them too; the store on disk comes first.',
      }),
    }),
  },
  { rules: [clusterRefStays, ...graphRules] },
);

/** EtlPipeline. */
export const etlPipeline: CustomResource = {
  kind: 'EtlPipeline',
  plural: 'etlpipelines',
  shortNames: ['epl'],
  description: 'Sources, transforms and sinks, and which hands records to which.',
  spec,
  status: object('What became of it.', statusFields),
  rules: [],
  columns: [
    readyColumn,
    {
      name: 'State',
      type: 'string',
      jsonPath: '.spec.state',
      description: 'Whether it is to run.',
    },
    {
      name: 'Require',
      type: 'string',
      jsonPath: '.spec.delivery.require',
      description: 'The guarantee that it needs.',
    },
    {
      name: 'Cluster',
      type: 'string',
      jsonPath: '.spec.clusterRef.name',
      description: 'The cluster that it belongs to.',
    },
    ...lastColumns,
  ],
  selectable: ['.spec.clusterRef.name', '.spec.state'],
};
