// Keeps the records for which a condition holds. A condition that has no value for a record does not hold for it.

import type {
  RecordBatch,
  Transform,
  TransformCapabilities,
  TransformResult,
} from '@etl-router/core';
import {
  type CompiledCondition,
  type Condition,
  compileCondition,
  type Fields,
} from '@etl-router/pipeline';
import { type AnyConnector, defineConnector } from '../connector-type.ts';

interface FilterSettings {
  readonly condition: Condition;
  readonly negate: boolean;
}

/** `filter`. */
export const filterTransform: AnyConnector = defineConnector<FilterSettings>({
  kind: 'transform',
  type: 'filter',
  settings: [
    {
      name: 'condition',
      type: 'CEL over record',
      fallback: 'required',
      help: 'Records for which it holds go on, such as `record.data.delay > 15`.',
    },
    {
      name: 'negate',
      type: 'true or false',
      fallback: 'false',
      help: 'Records for which it does not hold go on instead.',
    },
  ],
  read: readFilter,
  capabilities: () => ({ deterministic: true }),
  create: (settings) => new FilterTransform(settings),
});

function readFilter(fields: Fields): FilterSettings {
  const cel = fields.requiredText('condition') ?? 'true';
  try {
    compileCondition({ cel });
  } catch (error) {
    fields.report('condition', { code: 'BadExpression', message: (error as Error).message });
  }
  return { condition: { cel }, negate: fields.boolean('negate', false) };
}

class FilterTransform implements Transform {
  readonly capabilities: TransformCapabilities = { deterministic: true };
  readonly #condition: CompiledCondition;
  readonly #keep: boolean;

  constructor({ condition, negate }: FilterSettings) {
    this.#condition = compileCondition(condition);
    this.#keep = !negate;
  }

  async open(): Promise<void> {
    // Nothing to open.
  }

  process(batch: RecordBatch): TransformResult {
    const kept: number[] = [];
    for (let index = 0; index < batch.count; index++) {
      const holds = this.#condition.test(batch, index) === true;
      if (holds === this.#keep) kept.push(index);
    }
    return { batch: kept.length === batch.count ? batch : batch.select(kept), failures: [] };
  }

  async close(): Promise<void> {
    // Nothing to close.
  }
}
