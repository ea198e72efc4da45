// What happened, as a number that two runs of a seed must agree on, and as lines for people when asked for.

export class Trace {
  hash = 0x811c9dc5;
  readonly #lines: string[] | undefined;
  readonly #now: () => number;

  constructor(now: () => number, keepsLines: boolean) {
    this.#now = now;
    this.#lines = keepsLines ? [] : undefined;
  }

  /** Notes that something happened: a word and numbers. */
  note(what: string, ...numbers: readonly number[]): void {
    const now = this.#now();
    this.#mix(Math.floor(now * 1000));
    for (let at = 0; at < what.length; at++) this.#mix(what.charCodeAt(at));
    for (const number of numbers) this.#mix(number);
    if (this.#lines === undefined) return;
    this.#lines.push(`${now.toFixed(3).padStart(11)} ${what} ${numbers.join(' ')}`);
    if (this.#lines.length > 20_000) this.#lines.splice(0, 10_000);
  }

  /** The last lines, oldest first. */
  tail(count: number): readonly string[] {
    return this.#lines?.slice(-count) ?? [];
  }

  #mix(number: number): void {
    this.hash = Math.imul(this.hash ^ (number | 0), 0x01000193) >>> 0;
    this.hash = Math.imul(this.hash ^ (number / 0x1_0000_0000), 0x01000193) >>> 0;
  }
}

/** A number of bytes, for comparing. */
export function hashOf(bytes: Uint8Array, start = 0x811c9dc5): number {
  let hash = start;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}
