// Checks the graph of a normalised pipeline: what would never run, never end or never deliver. The guarantee is
// checked by guarantee.ts, for it needs to know what the connectors can do. Pure; linear in stages and edges.

import { isEtlError, limits } from '@etl-router/core';
import { compileCondition } from './expression/condition.ts';
import { type Finding, Findings } from './finding.ts';
import type { Edge, Pipeline, Stage } from './model.ts';
import { labelProblem } from './names.ts';
import { findSegmentFaults } from './segments.ts';
import { didYouMean } from './suggest.ts';

/** Every finding about the graph of `pipeline`. It is runnable when none is an error and every ref is resolved. */
export function validatePipeline(pipeline: Pipeline): readonly Finding[] {
  const findings = new Findings(`EtlPipeline ${pipeline.id}`);
  if (!withinBounds(findings, pipeline)) return findings.list;
  const stages = checkStages(findings, pipeline);
  const edges = checkEdges(findings, pipeline, stages);
  const graph = { pipeline, stages, edges };
  checkReach(findings, graph);
  checkCycles(findings, graph);
  checkDelivery(findings, graph);
  checkSegments(findings, graph);
  return findings.list;
}

/** The edges whose ends exist, and the stages by name. */
interface Graph {
  readonly pipeline: Pipeline;
  readonly stages: ReadonlyMap<string, Stage>;
  readonly edges: readonly Edge[];
}

function withinBounds(findings: Findings, { stages, edges }: Pipeline): boolean {
  const bounds = [
    ['spec.stages', stages.length, limits.pipelineMaxStages],
    ['spec.edges', edges.length, limits.pipelineMaxEdges],
  ] as const;
  for (const [path, count, max] of bounds) {
    if (count <= max) continue;
    const message = `${count} are more than ${max}; split the pipeline`;
    findings.add({ code: 'TooLarge', path, message });
  }
  return !findings.hasErrors;
}

function checkStages(findings: Findings, { stages }: Pipeline): Map<string, Stage> {
  const byName = new Map<string, Stage>();
  for (const [index, stage] of stages.entries()) {
    const path = `spec.stages[${index}].name`;
    const problem = labelProblem(stage.name);
    if (problem !== undefined) findings.add({ code: 'BadName', path, message: problem });
    if (byName.has(stage.name)) {
      const message = `a second stage is named ${quote(stage.name)}`;
      findings.add({ code: 'DuplicateStage', path, message });
    }
    byName.set(stage.name, stage);
  }
  const has = (kind: Stage['kind']): boolean => stages.some((stage) => stage.kind === kind);
  if (!has('source')) {
    findings.add({ code: 'NoSource', path: 'spec.stages', message: 'the pipeline has no source' });
  }
  if (!has('sink')) {
    findings.add({ code: 'NoSink', path: 'spec.stages', message: 'the pipeline has no sink' });
  }
  return byName;
}

function checkEdges(
  findings: Findings,
  pipeline: Pipeline,
  stages: ReadonlyMap<string, Stage>,
): readonly Edge[] {
  const seen = new Set<string>();
  return pipeline.edges.filter((edge, index) => {
    const path = `spec.edges[${index}]`;
    for (const end of ['from', 'to'] as const) {
      if (stages.has(edge[end])) continue;
      findings.add({
        code: 'UnknownStage',
        path: `${path}.${end}`,
        message: `there is no stage ${quote(edge[end])}`,
        suggestion: didYouMean(edge[end], stages.keys()),
      });
    }
    const [from, to] = [stages.get(edge.from), stages.get(edge.to)];
    if (from === undefined || to === undefined) return false;
    if (edge.from === edge.to) {
      const message = `the edge leads from ${quote(edge.from)} to itself`;
      findings.add({ code: 'SelfEdge', path, message });
      return false;
    }
    const key = `${edge.from} ${edge.to}`;
    if (seen.has(key)) {
      const message = `a second edge from ${quote(edge.from)} to ${quote(edge.to)}`;
      const suggestion = 'join their conditions with ||';
      findings.add({ code: 'DuplicateEdge', path, message, suggestion });
    }
    seen.add(key);
    checkCondition(findings, edge, path);
    if (to.kind === 'source') {
      const message = `${quote(to.name)} is a source; nothing flows into it`;
      findings.add({ code: 'EdgeIntoSource', path: `${path}.to`, message });
    }
    if (from.kind === 'sink') {
      const message = `${quote(from.name)} is a sink; nothing flows out of it`;
      findings.add({ code: 'EdgeOutOfSink', path: `${path}.from`, message });
    }
    return true;
  });
}

function checkCondition(findings: Findings, { when }: Edge, path: string): void {
  if (when === undefined) return;
  try {
    compileCondition(when);
  } catch (error) {
    if (!isEtlError(error)) throw error;
    findings.add({ code: 'BadExpression', path: `${path}.when`, message: error.message });
  }
}

/** Names reached from `starts` along edges, the starts included. */
export function reachable(
  starts: Iterable<string>,
  edges: readonly Pick<Edge, 'from' | 'to'>[],
): Set<string> {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) {
    const targets = next.get(from);
    if (targets === undefined) next.set(from, [to]);
    else targets.push(to);
  }
  const reached = new Set(starts);
  for (const name of reached) {
    for (const target of next.get(name) ?? []) reached.add(target);
  }
  return reached;
}

function namesOf(stages: ReadonlyMap<string, Stage>, kind: Stage['kind']): string[] {
  return [...stages.values()].filter((stage) => stage.kind === kind).map(({ name }) => name);
}

function checkReach(findings: Findings, { pipeline, stages, edges }: Graph): void {
  const fromSources = reachable(namesOf(stages, 'source'), edges);
  const reversed = edges.map(({ from, to }) => ({ from: to, to: from }));
  const toSinks = reachable(namesOf(stages, 'sink'), reversed);
  for (const [index, { name, kind }] of pipeline.stages.entries()) {
    if (name === pipeline.deadLetterSink) continue;
    const path = `spec.stages[${index}]`;
    if (!fromSources.has(name)) {
      const message = `no edge leads to ${kind} ${quote(name)} from a source`;
      findings.add({ code: 'Unreachable', path, message });
    }
    if (!toSinks.has(name)) {
      const message = `no edge leads from ${kind} ${quote(name)} to a sink`;
      findings.add({ code: 'DeadEnd', path, message });
    }
  }
}

/** Reports one way round for every group of stages that lead to each other. */
function checkCycles(findings: Findings, { pipeline, stages, edges }: Graph): void {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  for (const start of stages.keys()) {
    const way: string[] = [];
    const onWay = new Set<string>();
    const visit = (name: string): string[] | undefined => {
      if (onWay.has(name)) return [...way.slice(way.indexOf(name)), name];
      if (done.has(name)) return undefined;
      way.push(name);
      onWay.add(name);
      for (const target of next.get(name) ?? []) {
        const cycle = visit(target);
        if (cycle !== undefined) return cycle;
      }
      onWay.delete(name);
      way.pop();
      done.add(name);
      return undefined;
    };
    const cycle = visit(start);
    if (cycle === undefined) continue;
    for (const name of way) done.add(name);
    const [from, to] = cycle.slice(-2);
    const index = pipeline.edges.findIndex((edge) => edge.from === from && edge.to === to);
    findings.add({
      code: 'Cycle',
      path: `spec.edges[${index}]`,
      message: `the edges go round: ${cycle.join(' → ')}`,
      suggestion: 'remove one of these edges',
    });
  }
}

function checkDelivery(findings: Findings, { pipeline, stages, edges }: Graph): void {
  const required = edges.filter((edge) => edge.required);
  const reached = reachable(namesOf(stages, 'source'), required);
  const sinks = namesOf(stages, 'sink').filter((name) => name !== pipeline.deadLetterSink);
  if (sinks.length > 0 && !sinks.some((name) => reached.has(name)) && !findings.hasErrors) {
    findings.add({
      code: 'NothingRequired',
      severity: 'warning',
      path: 'spec.edges',
      message: 'every sink can be left out, so a record counts as delivered although none has it',
      suggestion: 'leave required: true on the edges of at least one sink',
    });
  }
  for (const [index, edge] of pipeline.edges.entries()) {
    if (!edge.required || edge.overflow.policy !== 'drop') continue;
    findings.add({
      code: 'LossyOverflow',
      severity: 'warning',
      path: `spec.edges[${index}].overflow.policy`,
      message: 'drop on a required edge loses records when the target is slow: at most once',
      suggestion: 'use spill or deadLetter, or say required: false',
    });
  }
}

const codesOfFaults = { meeting: 'UnevenMeeting', mixture: 'MixedEdges' } as const;

/** What the engine would refuse when it starts. Edges that lead nowhere are reported already. */
function checkSegments(findings: Findings, { pipeline, edges }: Graph): void {
  for (const { kind, edge, message, suggestion } of findSegmentFaults({ ...pipeline, edges })) {
    const path = `spec.edges[${pipeline.edges.indexOf(edge)}]`;
    findings.add({ code: codesOfFaults[kind], path, message, suggestion });
  }
}

function quote(name: string): string {
  return JSON.stringify(name);
}
