// A watch, as a stream of events. It ends: by itself when the server closed it, with an error when it broke, said nothing
// for too long, or told of one. What comes after an end is the reflector's to decide.

import type { IncomingMessage } from 'node:http';
import { type Clock, EtlError } from '@etl-router/core';
import { ApiError, type KubeStatus } from './api-error.ts';
import { toKubeError } from './kube-caller.ts';
import type { KubeObject } from './kube-object.ts';

/** One event, larger than any object the server stores (1.5 MiB in etcd). */
const lineMaxBytes = 16 * 1024 * 1024;

const eventTypes = ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK'] as const;

/** What a watch tells. A bookmark carries a resource version and nothing else. */
export interface WatchEvent<T extends KubeObject = KubeObject> {
  readonly type: (typeof eventTypes)[number];
  readonly object: T;
}

/** How a stream is read. */
export interface WatchReading {
  readonly clock: Clock;
  /** A stream that is silent for so long is ended: its connection may be dead without having said so. */
  readonly inactivityMs: number;
  /** Ends the connection. */
  readonly ending: AbortController;
  /** What is watched, for messages. */
  readonly what: string;
}

/** The events of an answer to a watch. Its errors have codes; `onEnd` is called once it is over, however. */
export async function* readWatch<T extends KubeObject>(
  answer: IncomingMessage,
  reading: WatchReading,
  onEnd: () => void,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  try {
    for await (const line of readLines(answer, reading)) {
      const event = parseEvent<T>(line, reading.what);
      if (event !== undefined) yield event;
    }
  } catch (error) {
    throw toKubeError(error, `watch ${reading.what}`, reading.ending.signal);
  } finally {
    onEnd();
  }
}

function parseEvent<T extends KubeObject>(line: string, what: string): WatchEvent<T> | undefined {
  let event: { readonly type?: string | undefined; readonly object?: T & KubeStatus };
  try {
    event = JSON.parse(line) as typeof event;
  } catch (error) {
    throw new EtlError('ETL_UNAVAILABLE', `watch of ${what}: an event is not JSON`, {
      cause: error,
    });
  }
  const { type, object } = event;
  if (object === undefined) return undefined;
  if (type === 'ERROR') throw new ApiError(`watch of ${what}`, object.code ?? 500, object);
  const known = eventTypes.find((name) => name === type);
  return known === undefined ? undefined : { type: known, object };
}

async function* readLines(
  answer: IncomingMessage,
  reading: WatchReading,
): AsyncGenerator<string, void, undefined> {
  const { clock, inactivityMs, ending, what } = reading;
  const silence = (): (() => void) =>
    clock.after(inactivityMs, () => {
      ending.abort(
        new EtlError('ETL_TIMEOUT', `watch of ${what}: nothing was said for ${inactivityMs} ms`),
      );
    });
  let cancel = silence();
  let parts: Buffer[] = [];
  let partBytes = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      cancel();
      cancel = silence();
      let start = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
        parts.push(chunk.subarray(start, end));
        const line = Buffer.concat(parts).toString();
        parts = [];
        partBytes = 0;
        start = end + 1;
        if (line.trim() !== '') yield line;
      }
      if (start < chunk.length) {
        parts.push(chunk.subarray(start));
        partBytes += chunk.length - start;
      }
      if (partBytes > lineMaxBytes) {
        throw new EtlError(
          'ETL_LIMIT_EXCEEDED',
          `watch of ${what}: an event is over ${lineMaxBytes} bytes`,
        );
      }
    }
  } finally {
    cancel();
    answer.destroy();
  }
}
