// The dead letters of the sidecar in this process, as the router's interfaces ask for them.

import type { DeadLetterHolder, DeadLetterView } from '@etl-router/router';
import type { DeadLetter, DeadLetterStore, Sidecar } from '@etl-router/sidecar';

/** Answers from the store; redrives go through the sidecar, which wakes the run. */
export function createDeadLetterHolder(store: DeadLetterStore, sidecar: Sidecar): DeadLetterHolder {
  return {
    list: async (request) => {
      const { items, total, next } = await store.list(request);
      return { items: items.map(toView), total, next };
    },
    get: async (pipelineId, id) => {
      const found = await store.get(pipelineId, id);
      return found === undefined ? undefined : toView(found);
    },
    count: async (pipelineId, filter) => store.count(pipelineId, filter),
    redrive: (pipelineId, filter) => sidecar.redrive(pipelineId, filter),
    discard: (pipelineId, filter) => store.discard(pipelineId, filter),
  };
}

function toView(letter: DeadLetter): DeadLetterView {
  const {
    id,
    pipelineId,
    stage,
    source,
    partition,
    code,
    message,
    attempts,
    firstFailureMs,
    lastFailureMs,
  } = letter;
  return {
    id,
    pipelineId,
    stage,
    source,
    partition,
    code,
    message,
    attempts,
    firstFailureMs,
    lastFailureMs,
    redriving: letter.redrive !== undefined,
    record: letter.batch.record(0),
    recordBytes: letter.batch.byteLength,
  };
}
