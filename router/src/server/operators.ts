// Fences operators that do not lead any more. Whoever changes the cluster says under which epoch; a higher one than was
// seen goes through the log first, a lower one is refused once this member knows all that was committed before.

import { checkOperatorEpoch, operatorEpoch } from '../state/operators.ts';
import { fromCount, toCount } from './numbers.ts';
import type { Proposer } from './proposer.ts';
import type { StateHost } from './state-host.ts';

export interface OperatorsParts {
  readonly host: StateHost;
  readonly proposer: Proposer;
  /** Resolves when everything that was written before the call can be read here. */
  readonly barrier: (signal?: AbortSignal) => Promise<void>;
}

export class Operators {
  readonly #parts: OperatorsParts;

  constructor(parts: OperatorsParts) {
    this.#parts = parts;
  }

  /** The highest epoch that took effect here; 0: none came. */
  get epoch(): number {
    return toCount(operatorEpoch(this.#parts.host.tables));
  }

  /**
   * Resolves when an operator of that epoch may change the cluster, and none of a lower one can any more. What is
   * asked of a member that was let through in the same moment may still take effect, and no later. Throws ETL_FENCED
   * below the highest epoch that came, ETL_INVALID_ARGUMENT for 0, ETL_UNAVAILABLE without a quorum.
   */
  async admit(epoch: number, signal?: AbortSignal): Promise<void> {
    const { host, proposer, barrier } = this.#parts;
    const wanted = fromCount('epoch', epoch);
    await barrier(signal);
    const seen = operatorEpoch(host.tables);
    checkOperatorEpoch(wanted, seen);
    if (wanted === seen && wanted !== 0n) return;
    await proposer.propose({ case: 'raiseOperatorEpoch', value: { epoch: wanted } }, { signal });
  }
}
