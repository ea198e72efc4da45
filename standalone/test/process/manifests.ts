// Objects that the tests of the process apply, all in the namespace `default`.

/** An object of the given kind. */
export function manifest(kind: string, name: string, spec: object): object {
  return { apiVersion: 'etl.router/v1', kind, metadata: { name }, spec };
}

/** Stages in order and the edges between them, `from>to`. */
export interface Graph {
  /** Name to the spec of what it refers to. */
  readonly source: object;
  readonly transforms?: { readonly [name: string]: object };
  readonly sinks: { readonly [name: string]: object };
  /** Members of edges by sink. */
  readonly edges?: { readonly [sink: string]: object };
  /** Other members of the pipeline's spec. */
  readonly spec?: object;
}

/** A pipeline from one source through a line of transforms to every sink; its objects are named after it. */
export function pipeline(name: string, graph: Graph): object[] {
  const { source, transforms = {}, sinks, edges = {}, spec = {} } = graph;
  const line = ['in', ...Object.keys(transforms)];
  const last = line.at(-1) as string;
  const refer = (stage: string): { readonly name: string } => ({ name: `${name}-${stage}` });
  return [
    manifest('EtlSource', `${name}-in`, source),
    ...Object.entries(transforms).map(([stage, of]) =>
      manifest('EtlTransform', `${name}-${stage}`, of),
    ),
    ...Object.entries(sinks).map(([stage, of]) => manifest('EtlSink', `${name}-${stage}`, of)),
    manifest('EtlPipeline', name, {
      ...spec,
      stages: [
        { name: 'in', sourceRef: refer('in') },
        ...Object.keys(transforms).map((stage) => ({ name: stage, transformRef: refer(stage) })),
        ...Object.keys(sinks).map((stage) => ({ name: stage, sinkRef: refer(stage) })),
      ],
      edges: [
        ...line.slice(1).map((to, at) => ({ from: line[at] as string, to })),
        ...Object.keys(sinks).map((to) => ({ from: last, to, ...edges[to] })),
      ],
    }),
  ];
}

/** Records that say their lane and number. */
export function generator(partitions: number, count: number | undefined, rate?: number): object {
  return {
    generator: {
      partitions,
      ...(count === undefined ? {} : { count }),
      ...(rate === undefined ? {} : { rate }),
    },
  };
}

/** Appends to a file of JSON lines. */
export function jsonl(path: string): object {
  return { file: { path, format: 'jsonl' } };
}
