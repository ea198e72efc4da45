// Keeps the records for which a condition holds. A field that is absent or of another type makes it not hold; a payload that
// can not be read, or an evaluation that goes wrong, fails the record: it is never dropped for that.

import type {
  RecordBatch,
  RecordFailure,
  Transform,
  TransformCapabilities,
  TransformResult,
} from '@etl-router/core';
import {
  type CompiledCondition,
  type Condition,
  compileCondition,
  type EvaluationFailure,
  type Fields,
} from '@etl-router/pipeline';
import { type AnyConnector, defineConnector } from '../connector-type.ts';

interface FilterSettings {
  readonly condition: Condition;
  readonly negate: boolean;
  /** Absent fields and other types fail the record too. */
  readonly strict: boolean;
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
    {
      name: 'strict',
      type: 'true or false',
      fallback: 'false',
      help: 'A record in which a field of the condition is absent or of another type fails. Else the condition does not hold for it.',
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
  return {
    condition: { cel },
    negate: fields.boolean('negate', false),
    strict: fields.boolean('strict', false),
  };
}

class FilterTransform implements Transform {
  readonly capabilities: TransformCapabilities = { deterministic: true };
  readonly #condition: CompiledCondition;
  readonly #settings: FilterSettings;

  constructor(settings: FilterSettings) {
    this.#condition = compileCondition(settings.condition);
    this.#settings = settings;
  }

  async open(): Promise<void> {
    // Nothing to open.
  }

  process(batch: RecordBatch): TransformResult {
    const kept: number[] = [];
    const failures: RecordFailure[] = [];
    const wanted = !this.#settings.negate;
    for (let index = 0; index < batch.count; index++) {
      const holds = this.#condition.test(batch, index);
      if (typeof holds === 'boolean' || !this.#fails(holds)) {
        if ((holds === true) === wanted) kept.push(index);
      } else failures.push({ index, ...describe(holds), retryable: false });
    }
    return { batch: kept.length === batch.count ? batch : batch.select(kept), failures };
  }

  #fails({ code }: EvaluationFailure): boolean {
    return this.#settings.strict || (code !== 'NO_SUCH_FIELD' && code !== 'WRONG_TYPE');
  }

  async close(): Promise<void> {
    // Nothing to close.
  }
}

function describe({ code, message }: EvaluationFailure): Pick<RecordFailure, 'code' | 'message'> {
  return { code: code === 'MALFORMED_PAYLOAD' ? 'NOT_JSON' : code, message };
}
