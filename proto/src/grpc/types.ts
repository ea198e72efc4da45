// The shapes of clients and handlers, derived from generated service descriptors.

import type { PeerCertificate } from 'node:tls';
import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { Metadata } from '@grpc/grpc-js';
import type { EncodedMessage } from './messages.ts';

/** Largest message either side takes or sends unless told otherwise. */
export const defaultMaxMessageBytes: number = 16 * 1024 * 1024;

type Kinds = Pick<DescMethod, 'methodKind'> & { input: DescMessage; output: DescMessage };

/** What a caller says beside its request. */
export interface CallOptions {
  /** Ends the call with ETL_CANCELLED. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the call ends with ETL_TIMEOUT. Default: none, which only streams should use. */
  readonly deadlineMs?: number | undefined;
  /** Waits for a connection until the deadline, where it would otherwise fail with ETL_UNAVAILABLE. */
  readonly waitForReady?: boolean | undefined;
  /** Sent with the call; names are lower-case, values printable ASCII. */
  readonly metadata?: { readonly [name: string]: string } | undefined;
}

/**
 * A method as its caller sees it. Streams are async iterables: a request is taken from the caller's only when there is
 * room for it, a response is read from the connection only when it is asked for. A call that answers with a stream
 * begins when its first response is asked for, and ends when the loop over them is left.
 */
export type ClientMethod<M extends Kinds> = M['methodKind'] extends 'unary'
  ? (
      request: MessageInitShape<M['input']>,
      options?: CallOptions,
    ) => Promise<MessageShape<M['output']>>
  : M['methodKind'] extends 'server_streaming'
    ? (
        request: MessageInitShape<M['input']>,
        options?: CallOptions,
      ) => AsyncIterable<MessageShape<M['output']>>
    : M['methodKind'] extends 'client_streaming'
      ? (
          requests: AsyncIterable<MessageInitShape<M['input']>>,
          options?: CallOptions,
        ) => Promise<MessageShape<M['output']>>
      : (
          requests: AsyncIterable<MessageInitShape<M['input']> | EncodedMessage>,
          options?: CallOptions,
        ) => AsyncIterable<MessageShape<M['output']>>;

/** All methods of a service as their caller sees them. What they throw is an EtlError. */
export type GrpcClient<S extends DescService> = {
  readonly [Key in keyof S['method']]: ClientMethod<S['method'][Key]>;
} & {
  /** Lets calls in progress end and takes no new ones. */
  close(): void;
};

/** What a handler is told beside the request. */
export interface CallContext {
  /** Aborts when the caller cancels, goes away or its deadline passes. Whatever a handler waits for must heed it. */
  readonly signal: AbortSignal;
  /** Address of the caller. */
  readonly peer: string;
  /** What the caller sent along. */
  readonly metadata: Metadata;
  /** One text of it, by its lower-case name: the first where there are several. Costs a fraction of all of it. */
  header(name: string): string | undefined;
  /** The certificate that the caller proved to hold; undefined where none was asked for. */
  certificate(): PeerCertificate | undefined;
}

/** A method as its implementation gives it. */
export type Handler<M extends Kinds> = M['methodKind'] extends 'unary'
  ? (
      request: MessageShape<M['input']>,
      context: CallContext,
    ) => MessageInitShape<M['output']> | Promise<MessageInitShape<M['output']>>
  : M['methodKind'] extends 'server_streaming'
    ? (
        request: MessageShape<M['input']>,
        context: CallContext,
      ) => AsyncIterable<MessageInitShape<M['output']>>
    : M['methodKind'] extends 'client_streaming'
      ? (
          requests: AsyncIterable<MessageShape<M['input']>>,
          context: CallContext,
        ) => Promise<MessageInitShape<M['output']>>
      : (
          requests: AsyncIterable<MessageShape<M['input']>>,
          context: CallContext,
        ) => AsyncIterable<MessageInitShape<M['output']>>;

/** All methods of a service as their implementation gives them. */
export type Implementation<S extends DescService> = {
  readonly [Key in keyof S['method']]: Handler<S['method'][Key]>;
};
