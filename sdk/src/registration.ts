// Keeps a service known to a router: registers, beats, registers anew when the router forgot it, and leaves at the end. What
// goes wrong on the way is logged and tried again; it never stops the service itself.
// States: registering → beating → (connection lost) beating again | (NOT_FOUND) registering → closed.

import { randomUUID } from 'node:crypto';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type Clock,
  EtlError,
  type Logger,
  sleep,
  systemRandom,
  toEtlError,
} from '@etl-router/core';
import { createClient, type GrpcClient, MessageQueue } from '@etl-router/proto/grpc';
import {
  Health,
  type HeartbeatRequest,
  type HeartbeatRequestSchema,
  type HeartbeatResponse,
  type ServiceInfoSchema,
  ServiceRegistry,
  type ServiceType,
} from '@etl-router/proto/registry';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';

/** How a service makes itself known. */
export interface RegisterOptions {
  /** `host:port` of any router. */
  readonly router: string;
  /** What pipelines call it, 1 to 253 bytes; many instances may share it. */
  readonly service: string;
  /** Namespace whose pipelines may use it. Default `default`. */
  readonly namespace?: string;
  /** Unique for the instance, and best the same after its restart. Default `namespace/service/host:port`. */
  readonly serviceId?: string;
  /** Host that others reach it by. Default: the one it listens on; the machine's name where that is all of them. */
  readonly advertiseHost?: string;
  /** For filters of those who look for it; at most 64. */
  readonly labels?: { readonly [name: string]: string };
  /** Its version, for people. */
  readonly version?: string;
  /** Longest silence before the router counts it as unhealthy, 1,000 to 3,600,000 ms. Default 30,000. */
  readonly leaseTtlMs?: number;
  /** How to reach the router by TLS. Default: without. */
  readonly credentials?: ChannelCredentials;
}

/** What the server knows of itself. */
export interface RegistrationParts {
  readonly type: ServiceType;
  readonly recordTypes: readonly string[];
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly drainTimeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

const callDeadlineMs = 5_000;
const farewellDeadlineMs = 2_000;
const backoffMs = { first: 100, most: 5_000 };

type Info = MessageInitShape<typeof ServiceInfoSchema> & { readonly serviceId: string };
type Beat = MessageInitShape<typeof HeartbeatRequestSchema>;

interface Lease {
  readonly registrationId: bigint;
  readonly intervalMs: number;
}

/** A service's place in the registry. */
export class Registration {
  /** Resolves when the router knows the service for the first time, or when it closes before. */
  readonly registered: Promise<void>;
  readonly #parts: RegistrationParts;
  readonly #info: Info;
  readonly #leaseTtlMs: number;
  readonly #client: GrpcClient<typeof ServiceRegistry>;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #lease: Lease | undefined;
  #isDraining = false;
  #markRegistered: () => void = () => undefined;

  constructor(options: RegisterOptions, parts: RegistrationParts) {
    this.#parts = parts;
    const { namespace = 'default', service, labels = {}, version = '' } = options;
    const { host, port, tls, type, recordTypes } = parts;
    this.#info = {
      serviceId: options.serviceId ?? `${namespace}/${service}/${host}:${port}`,
      name: service,
      namespace,
      type,
      endpoint: { host, port, tls },
      labels,
      version,
      recordTypes: [...recordTypes],
    };
    this.#leaseTtlMs = options.leaseTtlMs ?? 0;
    this.#client = createClient(
      ServiceRegistry,
      options.router,
      options.credentials ?? credentials.createInsecure(),
      { maxMessageBytes: 4 * 1024 * 1024 },
    );
    this.registered = new Promise((resolve) => {
      this.#markRegistered = resolve;
    });
    this.#running = this.#run();
  }

  /** Leaves the registry, for at most two seconds. */
  async close(): Promise<void> {
    this.#stop.abort(new EtlError('ETL_CANCELLED', 'the service closes'));
    await this.#running;
    this.#markRegistered();
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease !== undefined) {
      try {
        await this.#client.deregister(
          {
            serviceId: this.#info.serviceId,
            registrationId: lease.registrationId,
            drainTimeoutMs: this.#parts.drainTimeoutMs,
            requestId: randomUUID(),
          },
          { deadlineMs: farewellDeadlineMs },
        );
      } catch (error) {
        this.#parts.logger.warn({ err: error }, 'the router did not hear that the service leaves');
      }
    }
    this.#client.close();
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#parts;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        this.#lease ??= await this.#register(signal);
        await this.#beat(this.#lease, signal, () => {
          failures = 0;
        });
      } catch (thrown) {
        const error = toEtlError(thrown);
        if (signal.aborted) return;
        if (error.code === 'ETL_NOT_FOUND' || error.code === 'ETL_FENCED') this.#lease = undefined;
        const { serviceId } = this.#info;
        logger.warn({ err: error, serviceId }, 'the registration is tried again');
      }
      const delayMs = Math.min(backoffMs.most, backoffMs.first * 2 ** Math.min(failures, 10));
      await sleep(clock, delayMs * (0.5 + systemRandom.next() / 2), signal).catch(() => undefined);
    }
  }

  async #register(signal: AbortSignal): Promise<Lease> {
    const answer = await this.#client.register(
      { service: this.#info, leaseTtlMs: this.#leaseTtlMs, requestId: randomUUID() },
      { deadlineMs: callDeadlineMs, signal },
    );
    const { serviceId } = this.#info;
    const { registrationId } = answer;
    this.#parts.logger.info({ serviceId, registrationId: String(registrationId) }, 'registered');
    this.#markRegistered();
    return { registrationId, intervalMs: Math.max(100, answer.heartbeatIntervalMs) };
  }

  /** Beats on one stream until it breaks. Each beat waits for the answer to the one before it. */
  async #beat(lease: Lease, signal: AbortSignal, onAnswer: () => void): Promise<void> {
    const { clock } = this.#parts;
    const requests = new MessageQueue<Beat>(1);
    const silence = new AbortController();
    const stop = AbortSignal.any([signal, silence.signal]);
    const late = new EtlError('ETL_TIMEOUT', 'the router did not answer a heartbeat in time');
    let cancel = clock.after(lease.intervalMs + callDeadlineMs, () => silence.abort(late));
    try {
      requests.push(this.#beatMessage(lease));
      for await (const answer of this.#client.heartbeat(
        requests as AsyncIterable<HeartbeatRequest>,
        {
          signal: stop,
        },
      )) {
        cancel();
        onAnswer();
        this.#obey(answer);
        await sleep(clock, lease.intervalMs, stop);
        requests.push(this.#beatMessage(lease));
        cancel = clock.after(lease.intervalMs + callDeadlineMs, () => silence.abort(late));
      }
      throw new EtlError('ETL_UNAVAILABLE', 'the router ended the stream of heartbeats');
    } finally {
      cancel();
      requests.end();
    }
  }

  #beatMessage({ registrationId }: Lease): Beat {
    const health = this.#isDraining ? Health.DRAINING : Health.HEALTHY;
    return { serviceId: this.#info.serviceId, registrationId, health: { health } };
  }

  #obey({ commands }: HeartbeatResponse): void {
    for (const { command } of commands) {
      if (command.case === 'drain' && !this.#isDraining) {
        this.#isDraining = true;
        this.#parts.logger.info({ reason: command.value.reason }, 'the router drains the service');
      }
      if (command.case === 'resume') this.#isDraining = false;
    }
  }
}
