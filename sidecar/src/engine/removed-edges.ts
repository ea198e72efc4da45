// What was spilled at an edge that a new version of the pipeline does not have. Its records count as resolved, so they
// must not vanish with the edge: they become dead letters of the stage the edge led to.

import type { DeadLetterEntry } from '../dead-letter/store.ts';
import type { SpillQueue } from '../spill/spill-queue.ts';
import type { RunContext } from './context.ts';
import { laneOfId } from './letters.ts';

/** Turns the spills that no port of the run will empty into dead letters. */
export async function buryRemovedEdges(
  context: RunContext,
  hasPort: (lane: { source: string; partition: string }, port: string) => boolean,
  signal: AbortSignal,
): Promise<void> {
  for (const queue of context.spills.all) {
    if (hasPort(queue.key, queue.key.edge)) continue;
    context.logger.warn({ edge: queue.key.edge }, 'edge is gone; what it spilled is dead-lettered');
    await buryQueue(context, queue, signal);
    await context.spills.destroy(queue);
  }
}

async function buryQueue(
  context: RunContext,
  queue: SpillQueue,
  signal: AbortSignal,
): Promise<void> {
  const { pipelineId, edge } = queue.key;
  const stage = edge.slice(edge.indexOf('>') + 1);
  const stageKind = context.pipeline.stages.find(({ name }) => name === stage)?.kind ?? 'sink';
  const nowMs = context.clock.wallMs();
  for (let read = await queue.read(); read !== undefined; read = await queue.read()) {
    const { batch } = read;
    const entries = Array.from({ length: batch.count }, (_, index): DeadLetterEntry => {
      const id = batch.id(index);
      return {
        pipelineId,
        id,
        stage,
        stageKind,
        ...laneOfId(id, batch),
        code: 'EDGE_REMOVED',
        message: `the edge ${edge} was removed or changed while it held this record on disk`,
        attempts: 0,
        firstFailureMs: nowMs,
        lastFailureMs: nowMs,
        pipelineVersion: context.version,
        batch: batch.slice(index, index + 1),
      };
    });
    await context.bury(entries, signal);
  }
}
