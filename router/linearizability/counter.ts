// Numbers that the router gives out and that only rise, such as versions and epochs, as far as answers told them.

/** The number itself where it is exact, else the least it can be. */
export interface Counter {
  readonly value: number;
  readonly isExact: boolean;
}

/** Before anything was given out. */
export const noCount: Counter = { value: 0, isExact: true };

/** Whether it can be `value`. */
export function canBe(counter: Counter, value: number): boolean {
  return counter.isExact ? counter.value === value : counter.value <= value;
}

/** Whether everything that `other` can be or rise to, `counter` can. */
export function coversCount(counter: Counter, other: Counter): boolean {
  if (counter.isExact) return other.isExact && counter.value === other.value;
  return counter.value <= other.value;
}

/** It is known to be `value`. */
export function exactly(value: number): Counter {
  return { value, isExact: true };
}

/** It rose from `value`, or from more. */
export function above(value: number): Counter {
  return { value: value + 1, isExact: false };
}

export function nameOfCounter({ value, isExact }: Counter): string {
  return isExact ? `${value}` : `${value}+`;
}

export function describeCounter({ value, isExact }: Counter): string {
  return isExact ? `${value}` : `${value} or more`;
}
