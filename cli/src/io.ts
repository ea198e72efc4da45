// The outside of etlctl: streams, environment, time. Commands get it as a value, so tests run them in process.

import type { Clock, EtlError } from '@etl-router/core';

export interface Io {
  /** Data goes here. */
  readonly out: (text: string) => void;
  /** Words go here. */
  readonly err: (text: string) => void;
  readonly readStdin: () => Promise<string>;
  readonly env: { readonly [name: string]: string | undefined };
  readonly clock: Clock;
  /** True when standard output is a terminal: colours and hints are for people. */
  readonly isTty: boolean;
  /** Aborts on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/** Options that every command has. */
export interface GlobalOptions {
  readonly server: string;
  /** Undefined: as the manifest says, else `default`. */
  readonly namespace: string | undefined;
  readonly timeoutMs: number;
  readonly output: string | undefined;
}

/**
 * What a command gives back. A `get` prints its data itself; every other verb prints the summary, or with `-o json` one
 * envelope made of all of it.
 */
export interface CommandResult {
  /** What was done, for standard output. */
  readonly summary: string;
  readonly result?: unknown;
  /** What was not done although the rest was; the first one decides the exit code. */
  readonly failures?: readonly EtlError[];
}

const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Text that came from a server, safe for a terminal: control characters and escape sequences become visible. */
export function printable(text: string): string {
  return text.replace(controls, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Removes user and password from a URL before it is shown. */
export function withoutCredentials(url: string): string {
  return url.replace(/\/\/[^/@]*@/, '//');
}
