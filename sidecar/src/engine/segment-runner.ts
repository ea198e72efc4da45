// Takes a batch through one segment: tests conditions, runs transforms in topological order, merges what meets, and
// says what goes to which port. Without asynchronous stages it is one tight loop.

import { type RecordBatch, unreachable } from '@etl-router/core';
import { isEvaluationFailure } from '@etl-router/pipeline';
import { deriveAll, mergeBatches } from './batches.ts';
import type { RunContext } from './context.ts';
import type { EdgeCounters, StageCounters } from './counters.ts';
import type { FlowEdge, Port, Segment } from './flow.ts';
import type { Passage, TransformRunner } from './transform-runner.ts';

/** What goes to a port. */
export interface Output {
  readonly port: Port;
  readonly batch: RecordBatch;
}

type Meeting = (RecordBatch[] | undefined)[];

interface Leaving {
  readonly edges: readonly {
    readonly edge: FlowEdge;
    readonly counters: EdgeCounters;
    readonly portIndex: number;
  }[];
  /** Counters of the stage they leave; undefined at the head of a segment that a port feeds. */
  readonly from: StageCounters | undefined;
}

interface Step {
  readonly runner: TransformRunner;
  readonly leaving: Leaving;
}

/** The parts of one segment that do not change from batch to batch. Shared by all lanes of a flow. */
export class SegmentRunner {
  readonly #head: Leaving;
  readonly #nodes: readonly Step[];
  readonly #ports: readonly Port[];

  constructor(
    context: RunContext,
    segment: Segment,
    transforms: ReadonlyMap<string, TransformRunner>,
  ) {
    const ports: Port[] = [];
    const leaving = (edges: readonly FlowEdge[], from: string | undefined): Leaving => ({
      from: from === undefined ? undefined : context.counters.stage(from),
      edges: edges.map((edge) => {
        const counters = context.counters.edge(edge.from, edge.to);
        if (edge.target.kind === 'node') return { edge, counters, portIndex: -1 };
        let portIndex = ports.indexOf(edge.target.port);
        if (portIndex < 0) portIndex = ports.push(edge.target.port) - 1;
        return { edge, counters, portIndex };
      }),
    });
    const [first] = segment.edges;
    const isSource = context.pipeline.stages.some(
      ({ name, kind }) => kind === 'source' && name === first?.from,
    );
    this.#head = leaving(segment.edges, isSource ? first?.from : undefined);
    this.#nodes = segment.nodes.map(({ stage, edges }) => ({
      runner: transforms.get(stage.name) as TransformRunner,
      leaving: leaving(edges, stage.name),
    }));
    this.#ports = ports;
  }

  /** What `batch` comes to at the ports. Several edges into one port meet there, in order of sequence. */
  run(batch: RecordBatch, passage: Passage): readonly Output[] | Promise<readonly Output[]> {
    const atNodes: Meeting = Array.from({ length: this.#nodes.length });
    const atPorts: Meeting = Array.from({ length: this.#ports.length });
    route(this.#head, batch, { atNodes, atPorts });
    return this.#runFrom(0, { atNodes, atPorts, passage });
  }

  #runFrom(
    start: number,
    state: { readonly atNodes: Meeting; readonly atPorts: Meeting; readonly passage: Passage },
  ): readonly Output[] | Promise<readonly Output[]> {
    for (let index = start; index < this.#nodes.length; index++) {
      const met = state.atNodes[index];
      if (met === undefined) continue;
      const { runner, leaving } = this.#nodes[index] as Step;
      const output = runner.run(mergeBatches(met), state.passage);
      if (output instanceof Promise) {
        return output.then((settled) => {
          if (settled !== undefined) route(leaving, settled, state);
          return this.#runFrom(index + 1, state);
        });
      }
      if (output !== undefined) route(leaving, output, state);
    }
    const outputs: Output[] = [];
    for (const [index, met] of state.atPorts.entries()) {
      if (met === undefined) continue;
      outputs.push({ port: this.#ports[index] as Port, batch: mergeBatches(met) });
    }
    return outputs;
  }
}

/** Sends a batch along the edges that leave a stage. Records that take none of them are counted. */
function route(
  leaving: Leaving,
  batch: RecordBatch,
  meetings: { readonly atNodes: Meeting; readonly atPorts: Meeting },
): void {
  const { edges, from } = leaving;
  const taken = edges.length === 1 || from === undefined ? undefined : new Uint8Array(batch.count);
  let isAllTaken = false;
  let routed = 0;
  for (const { edge, counters, portIndex } of edges) {
    const selected = select(edge, batch, { counters, taken });
    if (selected === undefined) continue;
    if (selected.count === batch.count) isAllTaken = true;
    routed = selected.count;
    counters.records += selected.count;
    counters.bytes += selected.byteLength;
    const { target } = edge;
    const arriving = edge.suffix === undefined ? selected : deriveAll(selected, edge.suffix);
    if (target.kind === 'port') (meetings.atPorts[portIndex] ??= []).push(arriving);
    else if (target.kind === 'node') (meetings.atNodes[target.index] ??= []).push(arriving);
    else unreachable(target);
  }
  if (isAllTaken || from === undefined) return;
  if (taken === undefined) from.unrouted += batch.count - routed;
  else for (const mark of taken) if (mark === 0) from.unrouted++;
}

/** The records an edge's condition holds for: the batch itself, a part of it, or undefined for none. */
function select(
  edge: FlowEdge,
  batch: RecordBatch,
  marks: { readonly counters: EdgeCounters; readonly taken: Uint8Array | undefined },
): RecordBatch | undefined {
  const { condition } = edge;
  const { counters, taken } = marks;
  if (condition === undefined) return batch;
  const { count } = batch;
  const indexes = new Uint32Array(count);
  let held = 0;
  for (let index = 0; index < count; index++) {
    const holds = condition.test(batch, index);
    if (holds === true) {
      indexes[held++] = index;
      if (taken !== undefined) taken[index] = 1;
    } else if (isEvaluationFailure(holds)) counters.conditionErrors++;
  }
  if (held === 0) return undefined;
  return held === count ? batch : batch.select(indexes.subarray(0, held));
}
