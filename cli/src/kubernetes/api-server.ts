// Reads and writes objects of Kubernetes as JSON. What the server says of a failure is passed on with what to do about it.

import type { IncomingMessage } from 'node:http';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { type ErrorCode, EtlError, isEtlError } from '@etl-router/core';
import type { Io } from '../io.ts';
import type { KubernetesAccess } from './access.ts';
import type { ListOf } from './objects.ts';

const maxAnswerBytes = 64 * 1024 * 1024;

/** An answer, and when the server gave it by its own clock. */
export interface Answer<T> {
  readonly value: T;
  /** Undefined: it did not say. To the second. */
  readonly serverTimeMs: number | undefined;
}

export class ApiServer {
  readonly access: KubernetesAccess;
  readonly #timeoutMs: number;
  readonly #io: Io;
  #options: RequestOptions | undefined;

  constructor(access: KubernetesAccess, timeoutMs: number, io: Io) {
    this.access = access;
    this.#timeoutMs = timeoutMs;
    this.#io = io;
  }

  /** Throws ETL_NOT_FOUND, ETL_PERMISSION_DENIED, ETL_UNAUTHENTICATED, ETL_UNAVAILABLE or ETL_TIMEOUT. */
  async get<T>(path: string): Promise<T> {
    return (await this.ask<T>('GET', path)).value;
  }

  /** The items of a list, page by page. */
  async list<T>(path: string): Promise<readonly T[]> {
    const items: T[] = [];
    for (let next: string | undefined = ''; next !== undefined; ) {
      const more: string = next === '' ? '' : `&continue=${encodeURIComponent(next)}`;
      const page: ListOf<T> = await this.get(
        `${path}${path.includes('?') ? '&' : '?'}limit=500${more}`,
      );
      items.push(...(page.items ?? []));
      next = page.metadata?.continue || undefined;
    }
    return items;
  }

  async create<T>(path: string, body: object): Promise<T> {
    return (await this.ask<T>('POST', path, body)).value;
  }

  async ask<T>(method: string, path: string, body?: object): Promise<Answer<T>> {
    this.#options ??= await this.access.options();
    const { status, text, date } = await this.#send(method, path, body);
    if (status >= 300) throw this.#refusal(status, text);
    try {
      return { value: JSON.parse(text) as T, serverTimeMs: date };
    } catch (cause) {
      throw new EtlError(
        'ETL_UNAVAILABLE',
        `${this.access.server} does not answer as an API server of Kubernetes; check ${this.access.source}`,
        { cause },
      );
    }
  }

  #send(
    method: string,
    path: string,
    body?: object,
  ): Promise<{ status: number; text: string; date: number | undefined }> {
    const url = new URL(`${this.access.server}${path}`);
    const send = url.protocol === 'http:' ? httpRequest : httpsRequest;
    const text = body === undefined ? undefined : JSON.stringify(body);
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => reject(this.#failure(error, deadline));
      const request = send(
        url,
        {
          ...this.#options,
          method,
          signal: AbortSignal.any([deadline, this.#io.signal]),
          headers: {
            ...(this.#options?.headers as { [name: string]: string } | undefined),
            accept: 'application/json',
            'user-agent': 'etlctl',
            ...(text !== undefined && {
              'content-type': 'application/json',
              'content-length': Buffer.byteLength(text),
            }),
          },
        },
        (response) => {
          readAll(response).then(
            (answer) =>
              resolve({ status: response.statusCode ?? 0, text: answer, date: dateOf(response) }),
            fail,
          );
        },
      );
      request.on('error', fail);
      request.end(text);
    });
  }

  #failure(error: Error, deadline: AbortSignal): EtlError {
    if (deadline.aborted) {
      return new EtlError(
        'ETL_TIMEOUT',
        `no answer from the API server of ${this.access.shown} within ${this.#timeoutMs / 1000}s (--timeout)`,
        { cause: error },
      );
    }
    if (this.#io.signal.aborted) return new EtlError('ETL_CANCELLED', 'interrupted');
    const reason = (error as NodeJS.ErrnoException).code ?? error.message;
    const what = /CERT|ALTNAME|ISSUER|SELF_SIGNED/.test(reason)
      ? `does not show a certificate that ${this.access.source} trusts`
      : 'can not be reached';
    return new EtlError(
      'ETL_UNAVAILABLE',
      `the API server of ${this.access.shown} ${what} (${reason}); check --context and --kubeconfig`,
      { cause: error },
    );
  }

  #refusal(status: number, text: string): EtlError {
    const said = messageOf(text) ?? `it answered ${status}`;
    const { shown, user } = this.access;
    if (status === 401) {
      return new EtlError(
        'ETL_UNAUTHENTICATED',
        `the API server of ${shown} does not accept the credentials of user ${user} (${said}); have they run out?`,
      );
    }
    if (status === 403) {
      const more = / cannot \w+ resource /.test(said) ? '; a Role that allows it is needed' : '';
      return new EtlError('ETL_PERMISSION_DENIED', `${said}${more}`);
    }
    if (status === 404) return new EtlError('ETL_NOT_FOUND', said);
    return new EtlError('ETL_UNAVAILABLE', `the API server of ${shown}: ${said}`);
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxAnswerBytes) throw new Error('the answer passes 64 MiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function dateOf({ headers }: IncomingMessage): number | undefined {
  const ms = Date.parse(headers.date ?? '');
  return Number.isNaN(ms) ? undefined : ms;
}

function messageOf(text: string): string | undefined {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === 'string' && message !== '' ? message : undefined;
  } catch {
    return undefined;
  }
}

/** The answer; undefined: there is no such object or kind. */
export function orMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  return answer.catch((error: unknown) => unless(error, 'ETL_NOT_FOUND'));
}

/** The answer; undefined: the user may not see it. */
export function orForbidden<T>(answer: Promise<T>): Promise<T | undefined> {
  return answer.catch((error: unknown) => unless(error, 'ETL_PERMISSION_DENIED'));
}

function unless(error: unknown, code: ErrorCode): undefined {
  if (isEtlError(error) && error.code === code) return undefined;
  throw error;
}
