// Streams that stay open: they give signs of life while nothing happens, and end when the caller goes or the process
// stops. Nothing is read ahead of the caller.

import { type Clock, EtlError } from '@etl-router/core';

/** The wire promises one at least every 30 s. */
const signOfLifeMs = 20_000;

export interface StreamOptions<Message> {
  readonly clock: Clock;
  /** Aborts when the caller goes. */
  readonly caller: AbortSignal;
  /** Aborts when the process begins to stop. */
  readonly stopping: AbortSignal;
  /** Aborts, with the reason that the caller is told, when this member ceases to lead. Default: anyone may serve it. */
  readonly leading?: AbortSignal;
  /** What says nothing but "I am here". */
  readonly signOfLife: () => Message;
}

/**
 * The messages of `open`, with signs of life between them. Ends with ETL_UNAVAILABLE when the process stops, and with
 * ETL_NOT_LEADER when another member has to be asked.
 */
export async function* keepStream<Message>(
  open: (signal: AbortSignal) => AsyncGenerator<Message, void, void>,
  options: StreamOptions<Message>,
): AsyncGenerator<Message, void, void> {
  const { clock, caller, stopping, leading, signOfLife } = options;
  const done = new AbortController();
  const ends = [caller, stopping, done.signal, ...(leading === undefined ? [] : [leading])];
  const messages = open(AbortSignal.any(ends));
  let next = messages.next();
  try {
    for (;;) {
      const step = await withinSilence(next, clock);
      if (step === 'silence') {
        yield signOfLife();
        continue;
      }
      if (step.done === true) break;
      yield step.value;
      next = messages.next();
    }
  } finally {
    done.abort();
    void next.catch(() => undefined);
  }
  if (caller.aborted) return;
  if (stopping.aborted) throw stoppingError();
  if (leading?.aborted === true) throw leading.reason as EtlError;
}

/** The caller's messages, until the process stops: then it throws ETL_UNAVAILABLE. */
export async function* untilStopping<Message>(
  requests: AsyncIterable<Message>,
  stopping: AbortSignal,
): AsyncGenerator<Message, void, void> {
  const iterator = requests[Symbol.asyncIterator]();
  const stopped = Promise.withResolvers<'stopped'>();
  const onStop = (): void => stopped.resolve('stopped');
  stopping.addEventListener('abort', onStop, { once: true });
  if (stopping.aborted) onStop();
  try {
    for (;;) {
      const next = iterator.next();
      const step = await Promise.race([next, stopped.promise]);
      if (step === 'stopped') {
        void next.catch(() => undefined);
        throw stoppingError();
      }
      if (step.done === true) return;
      yield step.value;
    }
  } finally {
    stopping.removeEventListener('abort', onStop);
  }
}

function stoppingError(): EtlError {
  return new EtlError('ETL_UNAVAILABLE', 'the router is stopping; connect again');
}

async function withinSilence<Value>(
  next: Promise<Value>,
  clock: Clock,
): Promise<Value | 'silence'> {
  const silence = Promise.withResolvers<'silence'>();
  const cancel = clock.after(signOfLifeMs, () => silence.resolve('silence'));
  try {
    return await Promise.race([next, silence.promise]);
  } finally {
    cancel();
  }
}
