// A state machine small enough to be beyond doubt: registers that are written, compared and swapped, and for every
// client the answer to its last command, so that a command sent twice takes effect once.

import type { RowChange } from '../src/applied/applied-store.ts';
import type { Machine } from '../src/applied/replica.ts';
import { hashOf } from './trace.ts';

/** `expected` is only looked at by a swap; 0 is a register nobody wrote. */
export interface Command {
  readonly client: number;
  /** From 1, one higher for each new command of the client. */
  readonly sequence: number;
  readonly kind: 'write' | 'swap';
  readonly key: number;
  readonly value: number;
  readonly expected: number;
}

export interface Answer {
  readonly client: number;
  readonly sequence: number;
  /** A swap that did not find what it expected changed nothing. */
  readonly isDone: boolean;
  /** The register's value afterwards. */
  readonly value: number;
}

/** `padding` makes the command heavier, and means nothing. */
export function encodeCommand(command: Command, padding: number): Uint8Array {
  const { client, sequence, kind, key, value, expected } = command;
  const bytes = Buffer.alloc(24 + padding, 0x61);
  const numbers = [client, sequence, kind === 'write' ? 0 : 1, key, value, expected];
  for (const [at, number] of numbers.entries()) bytes.writeUInt32LE(number, at * 4);
  return bytes;
}

export function decodeCommand(bytes: Uint8Array): Command {
  const [client, sequence, kind, key, value, expected] = numbersOf(bytes.subarray(0, 24));
  return {
    client: client as number,
    sequence: sequence as number,
    kind: kind === 0 ? 'write' : 'swap',
    key: key as number,
    value: value as number,
    expected: expected as number,
  };
}

export function decodeAnswer(bytes: Uint8Array): Answer {
  const [client, sequence, isDone, value] = numbersOf(bytes);
  return {
    client: client as number,
    sequence: sequence as number,
    isDone: isDone === 1,
    value: value as number,
  };
}

export class Registers implements Machine {
  readonly #values = new Map<number, number>();
  /** The last answer of each client. */
  readonly #sessions = new Map<number, Uint8Array>();
  /** Of all rows, in whatever order they were made. */
  hash = 0;

  get(key: number): number {
    return this.#values.get(key) ?? 0;
  }

  apply(bytes: Uint8Array): {
    readonly result: Uint8Array;
    readonly changes: readonly RowChange[];
    readonly isRepeated: boolean;
  } {
    const command = decodeCommand(bytes);
    const { client, sequence, kind, key, value, expected } = command;
    const last = this.#sessions.get(client);
    if (last !== undefined && decodeAnswer(last).sequence >= sequence)
      return { result: last, changes: [], isRepeated: true };
    const isDone = kind === 'write' || this.get(key) === expected;
    if (isDone) this.#set(key, value);
    const result = numbers(client, sequence, isDone ? 1 : 0, this.get(key));
    this.#answer(client, result);
    const changes: RowChange[] = [{ key: rowKey(1, client), value: result }];
    if (isDone) changes.push({ key: rowKey(0, key), value: numbers(value) });
    return { result, changes, isRepeated: false };
  }

  restore(rows: Iterable<readonly [Uint8Array, Uint8Array]>): void {
    this.#values.clear();
    this.#sessions.clear();
    this.hash = 0;
    for (const [key, value] of rows) {
      const [table, id] = numbersOf(key);
      if (table === 0) this.#set(id as number, numbersOf(value)[0] as number);
      else this.#answer(id as number, value);
    }
  }

  #set(key: number, value: number): void {
    const before = this.#values.get(key);
    if (before !== undefined) this.hash -= hashOf(numbers(0, key, before));
    this.#values.set(key, value);
    this.hash += hashOf(numbers(0, key, value));
  }

  #answer(client: number, answer: Uint8Array): void {
    const before = this.#sessions.get(client);
    if (before !== undefined) this.hash -= hashOf(before, client);
    this.#sessions.set(client, answer);
    this.hash += hashOf(answer, client);
  }
}

function numbers(...values: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [at, value] of values.entries()) bytes.writeUInt32LE(value, at * 4);
  return bytes;
}

function numbersOf(bytes: Uint8Array): readonly number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length >> 2 }, (_, at) => view.getUint32(at * 4, true));
}

function rowKey(table: number, id: number): Uint8Array {
  return numbers(table, id);
}
