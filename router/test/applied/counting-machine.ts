// A state machine for tests: commands are `set key value` and `drop key`; the answer is the number of rows.

import type { Row } from '../../src/applied/applied-store.ts';
import type { Machine } from '../../src/applied/replica.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');
const text = (value: Uint8Array): string => Buffer.from(value).toString('utf8');

export class CountingMachine implements Machine {
  rows = new Map<string, string>();

  apply(command: Uint8Array): ReturnType<Machine['apply']> {
    const [verb, key = '', value = ''] = text(command).split(' ');
    if (verb === 'set') this.rows.set(key, value);
    else if (verb === 'drop') this.rows.delete(key);
    else throw new Error(`unknown command ${verb}`);
    const row = verb === 'set' ? bytes(value) : undefined;
    return {
      result: bytes(String(this.rows.size)),
      changes: [{ key: bytes(key), value: row }],
    };
  }

  restore(rows: Iterable<Row>): void {
    this.rows = new Map(Array.from(rows, ([key, value]) => [text(key), text(value)]));
  }

  /** Rows in order, as text. */
  get sorted(): readonly string[] {
    const keys = [...this.rows.keys()].sort();
    return keys.map((key) => `${key}=${this.rows.get(key)}`);
  }
}

/** Rows of a store in the form of {@link CountingMachine.sorted}, without that of the members. */
export function rowTexts(rows: readonly Row[]): readonly string[] {
  return rows
    .map(([key, value]) => `${text(key)}=${text(value)}`)
    .filter((row) => !row.startsWith('~members='));
}
