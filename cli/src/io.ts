// The outside of etlctl: streams, environment, time. Commands get it as a value, so tests run them in process.

import type { Readable } from 'node:stream';
import type { Clock, EtlError } from '@etl-router/core';
import type { Place } from './place.ts';
import type { Route } from './route.ts';

export interface Io {
  /** Data goes here. */
  readonly out: (text: string) => void;
  /** Words go here. */
  readonly err: (text: string) => void;
  /** A terminal where a person can be asked. */
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly env: { readonly [name: string]: string | undefined };
  readonly clock: Clock;
  /** True when standard output is a terminal: colours and hints are for people. */
  readonly isTty: boolean;
  /** Aborts on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/** Options that every command has. */
export interface GlobalOptions {
  /** Where the router is. */
  readonly place: Place;
  /** The way to a router in Kubernetes; undefined: the place is a URL. Whoever runs the command closes it. */
  readonly route: Route | undefined;
  /** Undefined: as the manifest says, else {@link GlobalOptions.defaultNamespace}. */
  readonly namespace: string | undefined;
  /** The namespace of what names none: the given one, that of the context, or `default`. */
  readonly defaultNamespace: string;
  readonly timeoutMs: number;
  readonly output: string | undefined;
  /** How fresh answers have to be; undefined: linearizable. */
  readonly consistency?: Consistency | undefined;
}

/** `stale`: what the router that is asked knows, without a leader too. */
export type Consistency = 'linearizable' | 'stale';

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

/** C0 and C1 controls but tab and newline, and the marks that turn the direction of what follows. */
const unsafe = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** Text that came from elsewhere, safe for a terminal: what would move its cursor or its colours becomes visible. */
export function printable(text: string): string {
  return text.replace(unsafe, (char) => {
    const code = char.charCodeAt(0).toString(16);
    return code.length > 2 ? `\\u${code}` : `\\x${code.padStart(2, '0')}`;
  });
}

/** As {@link printable}, on one line: for a cell of a table or the value of a field. */
export function printableLine(text: string): string {
  return printable(text).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}

/** The same JSON, with what {@link printable} would change written as escapes. */
export function printableJson(json: string): string {
  const raw = /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;
  return json.replace(raw, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Removes user and password from a URL before it is shown, in one that is malformed too. */
export function withoutCredentials(url: string): string {
  return url.replace(/\/\/.*@/s, '//');
}
