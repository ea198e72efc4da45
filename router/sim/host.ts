// The machine's own clock and chance are not there for whoever runs in the simulator: time is that of the machine whose
// event it is, and to draw a number or set a timer past the given ones is an error.

import type { Kernel } from './kernel.ts';

const forbidden: readonly (readonly [owner: object, name: string])[] = [
  [Math, 'random'],
  [globalThis, 'setTimeout'],
  [globalThis, 'setInterval'],
  [performance, 'now'],
  [crypto, 'randomUUID'],
  [crypto, 'getRandomValues'],
];

/** Runs `act` in a world without a clock of its own. */
export async function withSimulatedHost<Value>(
  kernel: Kernel,
  act: () => Promise<Value>,
): Promise<Value> {
  const undo: (() => void)[] = [];
  const replace = (owner: object, name: string, value: unknown): void => {
    const own = Object.getOwnPropertyDescriptor(owner, name);
    Object.defineProperty(owner, name, { configurable: true, writable: true, value });
    undo.push(() => {
      if (own === undefined) Reflect.deleteProperty(owner, name);
      else Object.defineProperty(owner, name, own);
    });
  };
  replace(Date, 'now', () => Math.floor(kernel.wallMs));
  for (const [owner, name] of forbidden) {
    replace(owner, name, () => {
      throw new Error(`${name}: whoever is simulated draws and waits by what it was given`);
    });
  }
  try {
    return await act();
  } finally {
    for (const each of undo) each();
  }
}
