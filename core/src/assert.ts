// Bugs crash. An assertion states what can only be false when our own code is wrong;
// what the outside can cause is an EtlError instead.

/** Thrown by {@link assert} and {@link unreachable}: the process holds a bug and must not go on. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}

/** Throws {@link AssertionFailure} with `message` when `condition` is false. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** The branch an exhaustive switch never takes. */
export function unreachable(value: never, what = 'case'): never {
  throw new AssertionFailure(`unexpected ${what}: ${JSON.stringify(value)}`);
}

/** Asserts that `value` is an integer that a double holds exactly (0 to 2^53 - 1) and returns it. */
export function assertCount(value: number, name: string): number {
  assert(Number.isSafeInteger(value) && value >= 0, `${name} must be a safe integer >= 0`);
  return value;
}
