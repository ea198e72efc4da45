// The way of records from one entry (a source, or the stage that dead letters are sent again to) through the graph,
// compiled once. The graph is cut into segments: within one, a batch passes all its transforms in one go; between
// segments and before every sink stands a port with a queue of its own, where an overflow policy can act. Every port
// is fed by exactly one segment, so that what reaches it is in order of position.

import { EtlError } from '@etl-router/core';
import {
  type CompiledCondition,
  compileCondition,
  type Edge,
  isDecoupling,
  type Overflow,
  type Pipeline,
  type Stage,
  segmentsFrom,
} from '@etl-router/pipeline';

/** An edge, its condition compiled, and where it leads within the flow. */
export interface FlowEdge {
  readonly from: string;
  readonly to: string;
  readonly condition: CompiledCondition | undefined;
  /**
   * Added to the derivation of what takes the edge. Where copies of one record may meet again, they are two records
   * from there on, and the ids of all but the first edge's say which way they came.
   */
  readonly suffix: string | undefined;
  readonly target:
    | { readonly kind: 'node'; readonly index: number }
    | { readonly kind: 'port'; readonly port: Port };
}

/** A transform within a segment. */
export interface FlowNode {
  readonly stage: Stage;
  readonly edges: readonly FlowEdge[];
}

/** Transforms that are passed in one go, in topological order. */
export interface Segment {
  readonly edges: readonly FlowEdge[];
  readonly nodes: readonly FlowNode[];
}

/** A queue before a sink, or before a segment that other branches must not wait for. */
export interface Port {
  /** `from>to`, unique in the flow and stable over restarts. */
  readonly id: string;
  readonly from: string;
  readonly stage: Stage;
  readonly overflow: Overflow;
  readonly required: boolean;
  /** What follows when the stage is a transform. */
  readonly segment: Segment | undefined;
}

export interface Flow {
  readonly root: Segment;
  readonly ports: readonly Port[];
}

/** Where a flow begins: behind a source, or at a stage. */
export type FlowEntry = { readonly source: string } | { readonly stage: string };

/** Compiles the flow from one entry. Throws ETL_UNSUPPORTED for what validation refuses as well. */
export function compileFlow(pipeline: Pipeline, entry: FlowEntry): Flow {
  return new Compiler(pipeline).compile(entry);
}

type MutableSegment = { edges: FlowEdge[]; nodes: { stage: Stage; edges: FlowEdge[] }[] };

class Compiler {
  readonly #pipeline: Pipeline;
  readonly #stages: ReadonlyMap<string, Stage>;
  readonly #ports = new Map<string, Port>();
  /** Which segment runs a transform. */
  readonly #segmentOf = new Map<string, MutableSegment>();

  constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline;
    this.#stages = new Map(pipeline.stages.map((stage) => [stage.name, stage]));
  }

  compile(entry: FlowEntry): Flow {
    const start: Edge[] =
      'source' in entry
        ? this.#leaving(entry.source)
        : [
            {
              from: '',
              to: entry.stage,
              when: undefined,
              required: true,
              overflow: { policy: 'block', afterMs: 0, spillMaxBytes: 0 },
            },
          ];
    const { order, edges, faults } = segmentsFrom(this.#pipeline, start);
    const [fault] = faults;
    if (fault !== undefined) {
      const { message, suggestion } = fault;
      throw new EtlError(
        'ETL_UNSUPPORTED',
        `pipeline ${this.#pipeline.id}: ${message}; ${suggestion}`,
      );
    }
    const root: MutableSegment = { edges: [], nodes: [] };
    const feeders = new Map<string, MutableSegment>([[start[0]?.from ?? '', root]]);
    for (const name of order) this.#place(this.#stage(name), edges, feeders);
    for (const edge of start) root.edges.push(this.#edge(edge, root));
    for (const [name, segment] of this.#segmentOf) {
      const node = segment.nodes.find(({ stage }) => stage.name === name);
      for (const edge of this.#leaving(name)) node?.edges.push(this.#edge(edge, segment));
    }
    return { root, ports: [...this.#ports.values()] };
  }

  /** Decides in which segment a stage runs, or which port stands before it. */
  #place(stage: Stage, edges: readonly Edge[], feeders: Map<string, MutableSegment>): void {
    const incoming = edges.filter(({ to }) => to === stage.name);
    const [first] = incoming as [Edge];
    const feeder = feeders.get(first.from) as MutableSegment;
    if (stage.kind === 'transform' && !incoming.some(isDecoupling)) {
      feeder.nodes.push({ stage, edges: [] });
      this.#segmentOf.set(stage.name, feeder);
      feeders.set(stage.name, feeder);
      return;
    }
    const segment: MutableSegment | undefined =
      stage.kind === 'transform' ? { edges: [], nodes: [{ stage, edges: [] }] } : undefined;
    const port: Port = {
      id: `${first.from}>${stage.name}`,
      from: first.from,
      stage,
      overflow: first.overflow,
      required: first.required,
      segment,
    };
    this.#ports.set(stage.name, port);
    if (segment === undefined) return;
    segment.edges.push({
      from: '',
      to: stage.name,
      condition: undefined,
      suffix: undefined,
      target: { kind: 'node', index: 0 },
    });
    this.#segmentOf.set(stage.name, segment);
    feeders.set(stage.name, segment);
  }

  #edge(edge: Edge, segment: MutableSegment): FlowEdge {
    const { from, to, when } = edge;
    const port = this.#ports.get(to);
    const index = segment.nodes.findIndex(({ stage }) => stage.name === to);
    return {
      from,
      to,
      condition: when === undefined ? undefined : compileCondition(when),
      suffix: this.#meetsEarlier(edge) ? `.${from}.0` : undefined,
      target: port === undefined ? { kind: 'node', index } : { kind: 'port', port },
    };
  }

  /** Whether an earlier edge into the same stage may bring a copy of the same record. */
  #meetsEarlier(edge: Edge): boolean {
    const incoming = this.#pipeline.edges.filter(({ to }) => to === edge.to);
    const mine = this.#ancestors(edge.from);
    return incoming
      .slice(0, Math.max(0, incoming.indexOf(edge)))
      .some(({ from }) => [...this.#ancestors(from)].some((name) => mine.has(name)));
  }

  /** A stage and all that lead to it. */
  #ancestors(stage: string): Set<string> {
    const found = new Set([stage]);
    for (const name of found) {
      for (const { from, to } of this.#pipeline.edges) if (to === name) found.add(from);
    }
    return found;
  }

  #stage(name: string): Stage {
    const stage = this.#stages.get(name);
    if (stage !== undefined) return stage;
    throw new EtlError('ETL_NOT_FOUND', `pipeline ${this.#pipeline.id} has no stage ${name}`);
  }

  #leaving(stage: string): Edge[] {
    return this.#pipeline.edges.filter(({ from }) => from === stage);
  }
}
