// What the simulator was built to find.

/** Something that must never happen has happened. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** Throws {@link Violation} when `condition` is false. */
export function check(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Violation(message());
}
