// The run-time half of the cost limit: what the CEL library does is counted while it does it. Work that grows with
// the data is charged before it is done: a comprehension's step, and every value that an operator or call reads.

import { limits } from '@etl-router/core';
import type { CelNode } from './syntax.ts';

/** Thrown inside an evaluation that costs too much; never leaves this folder. */
export class CostExceeded extends Error {
  override readonly name = 'CostExceeded';
}

/** Counts down from the limit. */
export class Meter {
  /** Made once: a comprehension that goes on after errors throws it for each element that is left. */
  readonly #error = new CostExceeded('the evaluation costs too much');
  #left = 0;

  /** True once the limit was passed, also where the expression went on without the part that failed. */
  get exceeded(): boolean {
    return this.#left < 0;
  }

  reset(): void {
    this.#left = limits.expressionMaxCost;
  }

  charge(units: number): void {
    this.#left -= units;
    if (this.#left < 0) throw this.#error;
  }

  /** Charges for reading all of a value. */
  chargeValue(value: unknown): void {
    if (typeof value === 'string') this.charge(1 + (value.length >> 6));
    else if (typeof value === 'object' && value !== null) this.#chargeObject(value);
  }

  #chargeObject(value: object): void {
    if (value instanceof Uint8Array) {
      this.charge(1 + (value.length >> 6));
      return;
    }
    this.charge(1);
    const members: Iterable<unknown> = Array.isArray(value)
      ? value
      : value instanceof Map
        ? value.values()
        : Object.values(value);
    for (const member of members) {
      this.charge(1);
      this.chargeValue(member);
    }
  }
}

type Handle = NonNullable<CelNode['handle']>;

const binaryOperators = new Set(['==', '!=', 'in', '+', '-', '*', '<', '<=', '>', '>=']);

/** Makes a checked node charge `meter` for what it does. Each node is given once. */
export function meterNode(node: CelNode, meter: Meter): void {
  const { handle, op } = node;
  if (handle === undefined) return;
  if (binaryOperators.has(op)) {
    node.handle = (left, right, a, b) => {
      meter.chargeValue(left);
      meter.chargeValue(right);
      return handle(left, right, a, b);
    };
  } else if (op === 'call' || op === 'rcall') {
    node.handle = meteredCall(String((node.args as readonly unknown[])[0]), handle, meter);
  }
}

function meteredCall(name: string, handle: Handle, meter: Meter): Handle {
  return (args, a, b, c) => {
    const values = args as readonly unknown[];
    for (const value of values) meter.chargeValue(value);
    const [receiver, argument] = values;
    if (name === 'join' && Array.isArray(receiver) && typeof argument === 'string') {
      meter.charge(receiver.length * (1 + (argument.length >> 6)));
    } else if (name === 'split' && typeof receiver === 'string') {
      meter.charge(receiver.length);
    }
    return handle(args, a, b, c);
  };
}

/** Makes every round of a comprehension charge one unit. */
export function meterStep(step: CelNode, meter: Meter): void {
  const { evaluate } = step.meta;
  step.setMeta('evaluate', (...args: readonly unknown[]) => {
    meter.charge(1);
    return evaluate(...args);
  });
}
