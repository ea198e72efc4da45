// Pipelines as drawings: lines of text for terminals, dot and mermaid for pages. Deterministic; names and conditions
// come from people, so whatever could end a string or a line in the target language is escaped.

import { formatDuration } from '@etl-router/core';
import type { Condition, Edge, Pipeline, Stage } from './model.ts';

export const graphFormats = ['ascii', 'dot', 'mermaid'] as const;
export type GraphFormat = (typeof graphFormats)[number];

/** Draws a pipeline. */
export function drawPipeline(pipeline: Pipeline, format: GraphFormat): string {
  if (format === 'dot') return drawDot(pipeline);
  return format === 'mermaid' ? drawMermaid(pipeline) : drawAscii(pipeline);
}

/** One line a stage: every stage below the one that leads to it, a stage that several lead to drawn once. */
function drawAscii(pipeline: Pipeline): string {
  const next = edgesBySource(pipeline);
  const byName = new Map(pipeline.stages.map((stage) => [stage.name, stage]));
  const incoming = new Set(pipeline.edges.map(({ to }) => to));
  const lines = [`${visible(pipeline.id)} (${pipeline.state})`];
  const drawn = new Set<string>();
  const drawStage = (name: string, indent: string, lead: string): void => {
    const stage = byName.get(name);
    const again = drawn.has(name);
    const note = stage === undefined ? ' (missing)' : noteOf(stage);
    lines.push(`${lead}${visible(name)}${again ? ' ↑' : note}`);
    if (again) return;
    drawn.add(name);
    const edges = next.get(name) ?? [];
    for (const [index, edge] of edges.entries()) {
      const last = index === edges.length - 1;
      const label = labelOf(edge);
      const arm = `${indent}${last ? '└─' : '├─'}${label === '' ? '' : `[${label}]─`}▶ `;
      drawStage(edge.to, `${indent}${last ? '    ' : '│   '}`, arm);
    }
  };
  for (const { name } of pipeline.stages) if (!incoming.has(name)) drawStage(name, '', '');
  for (const { name } of pipeline.stages) if (!drawn.has(name)) drawStage(name, '', '');
  return `${lines.join('\n')}\n`;
}

function noteOf({ kind, ref, name, connector }: Stage): string {
  const what = connector === undefined ? 'unresolved' : visible(connector.type);
  return ` (${kind} ${what}${ref === name ? '' : `, ${visible(ref)}`})`;
}

const shapes = {
  source: { dot: 'cds', open: '[/', close: '/]' },
  transform: { dot: 'box', open: '[', close: ']' },
  sink: { dot: 'cylinder', open: '[(', close: ')]' },
} as const;

function drawDot(pipeline: Pipeline): string {
  const lines = [`digraph ${dotText(pipeline.id)} {`, '  rankdir=LR;'];
  for (const stage of pipeline.stages) {
    const style = stage.connector === undefined ? ', style=dashed' : '';
    const label = dotText(`${stage.name}\n${connectorOfStage(stage)}`);
    lines.push(
      `  ${dotText(stage.name)} [shape=${shapes[stage.kind].dot}, label=${label}${style}];`,
    );
  }
  for (const edge of pipeline.edges) {
    const attributes = [
      ...(labelOf(edge) === '' ? [] : [`label=${dotText(labelOf(edge))}`]),
      ...(edge.required ? [] : ['style=dashed']),
    ];
    const suffix = attributes.length === 0 ? '' : ` [${attributes.join(', ')}]`;
    lines.push(`  ${dotText(edge.from)} -> ${dotText(edge.to)}${suffix};`);
  }
  return `${[...lines, '}'].join('\n')}\n`;
}

function drawMermaid(pipeline: Pipeline): string {
  const names = new Set(pipeline.stages.map(({ name }) => name));
  for (const { from, to } of pipeline.edges) names.add(from).add(to);
  const ids = new Map([...names].map((name, index) => [name, `s${index}`]));
  const lines = ['flowchart LR'];
  for (const stage of pipeline.stages) {
    const { open, close } = shapes[stage.kind];
    const text = mermaidText(`${stage.name}\n${connectorOfStage(stage)}`);
    const mark = stage.connector === undefined ? ':::unresolved' : '';
    lines.push(`  ${ids.get(stage.name)}${open}${text}${close}${mark}`);
  }
  for (const edge of pipeline.edges) {
    const arrow = edge.required ? '-->' : '-.->';
    const label = labelOf(edge) === '' ? '' : `|${mermaidText(labelOf(edge))}|`;
    lines.push(`  ${ids.get(edge.from)} ${arrow}${label} ${ids.get(edge.to)}`);
  }
  if (pipeline.stages.some(({ connector }) => connector === undefined)) {
    lines.push('  classDef unresolved stroke-dasharray: 5 5');
  }
  return `${lines.join('\n')}\n`;
}

function connectorOfStage({ connector, kind }: Stage): string {
  return connector === undefined ? `${kind}, unresolved` : `${kind} ${connector.type}`;
}

function edgesBySource({ edges }: Pipeline): Map<string, Edge[]> {
  const next = new Map<string, Edge[]>();
  for (const edge of edges) {
    const known = next.get(edge.from);
    if (known === undefined) next.set(edge.from, [edge]);
    else known.push(edge);
  }
  return next;
}

const maxLabelLength = 60;

/** What is special about an edge: condition, required: false, overflow. Empty for a plain one. */
function labelOf({ when, required, overflow }: Edge): string {
  const parts: string[] = [];
  if (when !== undefined) parts.push(shorten(conditionText(when)));
  if (!required) parts.push('optional');
  if (overflow.policy !== 'block') {
    const after = overflow.afterMs === 0 ? '' : ` after ${formatDuration(overflow.afterMs)}`;
    parts.push(`${overflow.policy}${after}`);
  }
  return visible(parts.join(', '));
}

function conditionText(condition: Condition): string {
  return 'cel' in condition ? condition.cel : JSON.stringify(condition.tree);
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length <= maxLabelLength ? line : `${line.slice(0, maxLabelLength - 1)}…`;
}

/** Text without what moves a cursor, hides or reorders what stands around it. */
function visible(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}

function dotText(text: string): string {
  const escaped = text
    .split('\n')
    .map((line) => visible(line).replace(/["\\]/g, '\\$&'))
    .join('\\n');
  return `"${escaped}"`;
}

function mermaidText(text: string): string {
  const escaped = text
    .split('\n')
    .map((line) => visible(line).replace(/[&"<>#;`|[\](){}\\]/g, (c) => `#${c.charCodeAt(0)};`))
    .join('<br>');
  return `"${escaped}"`;
}
