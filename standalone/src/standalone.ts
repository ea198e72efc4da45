// Router, sidecar and built-in connectors in one process. Everything is the production part: the log on disk, the state
// machine, the engine. Only the way between them is shorter: a call instead of a connection.

import { join } from 'node:path';
import { type Clock, EtlError, type Logger, type Random } from '@etl-router/core';
import { connectorsCapability, formatFinding, isErrorFinding } from '@etl-router/pipeline';
import {
  type BuildVersion,
  type DeadLetterHolder,
  formatAddress,
  type Router,
  type RouterConfig,
  type RunningRouter,
  startRouter,
} from '@etl-router/router';
import {
  type Failpoints,
  LocalDeadLetterStore,
  nodeDirectory,
  type RunSnapshot,
  registerMetrics,
  Sidecar,
  SpillStore,
} from '@etl-router/sidecar';
import { Registry } from 'prom-client';
import { checkManifest, guaranteeOf } from './checks.ts';
import { LocalControlPlane } from './control-plane.ts';
import { createDeadLetterHolder } from './dead-letter-holder.ts';
import { stageFactory } from './stage-factory.ts';

/** The one sidecar of standalone. */
export const sidecarId = 'standalone/local';

export interface StandaloneOptions {
  readonly config: RouterConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly failpoints: Failpoints;
  readonly version: BuildVersion;
  /** Relative paths in manifests start here. */
  readonly baseDirectory: string;
}

/** How long a shutdown waits for what is in flight. */
const drainMs = 30_000;

/** Everything of the product in one process. */
export class Standalone {
  readonly router: Router;
  readonly #running: RunningRouter;
  readonly #sidecar: Sidecar;
  readonly #deadLetters: LocalDeadLetterStore;

  private constructor(running: RunningRouter, sidecar: Sidecar, deadLetters: LocalDeadLetterStore) {
    this.router = running.router;
    this.#running = running;
    this.#sidecar = sidecar;
    this.#deadLetters = deadLetters;
  }

  /** Opens the data directory, listens, and runs what is stored. */
  static async start(options: StandaloneOptions): Promise<Standalone> {
    const { config, clock, random, logger, failpoints, version, baseDirectory } = options;
    const parts: { sidecar?: Sidecar; holder?: DeadLetterHolder } = {};
    const registry = new Registry();
    // The router locks the data directory, so it comes before everything that reads or repairs files in there.
    const running = await startRouter({
      config,
      clock,
      random,
      logger: logger.child({ logger: 'router' }),
      registry,
      version,
      checks: [checkManifest],
      guarantee: guaranteeOf,
      deadLetterHolders: () => parts.holder,
    });
    try {
      const deadLetters = await LocalDeadLetterStore.open({
        directory: nodeDirectory(join(config.dataDirectory, 'dead-letters')),
      });
      const spills = new SpillStore({
        directory: nodeDirectory(join(config.dataDirectory, 'spill')),
      });
      const sidecar = new Sidecar({
        sidecarId,
        clock,
        random,
        failpoints,
        deadLetters,
        spills,
        baseDirectory,
        version: version.version,
        offers: [connectorsCapability],
        controlPlane: new LocalControlPlane(running.router),
        stages: stageFactory,
        logger: logger.child({ logger: 'sidecar' }),
        bufferMaxBytes: config.buffer.maxTotalBytes,
        bufferMaxRecords: config.buffer.maxTotalRecords,
      });
      parts.holder = createDeadLetterHolder(deadLetters, sidecar);
      registerMetrics(registry, sidecar);
      sidecar.start();
      return new Standalone(running, sidecar, deadLetters);
    } catch (error) {
      await running.close().catch(() => undefined);
      throw error;
    }
  }

  /** Resolves with the error after which nothing can be committed any more, should one happen: close then. */
  get failed(): Promise<EtlError> {
    return this.#running.failed;
  }

  /** Applies the manifests of a text; returns the ids of its pipelines. Throws ETL_INVALID_ARGUMENT with every error. */
  async apply(text: string): Promise<readonly string[]> {
    const { outcomes, findings } = await this.router.objects.applyText(text);
    const errors = findings.filter(isErrorFinding);
    if (errors.length > 0)
      throw new EtlError('ETL_INVALID_ARGUMENT', errors.map(formatFinding).join('\n'));
    const refused = outcomes.find(({ error }) => error !== undefined);
    if (refused?.error !== undefined) throw refused.error;
    return outcomes
      .filter(({ name }) => name.kind === 'EtlPipeline')
      .map(({ name }) => `${name.namespace}/${name.name}`);
  }

  /** Whether a pipeline is there: applied, and not deleted since. */
  hasPipeline(pipelineId: string): boolean {
    const [namespace = '', name = ''] = pipelineId.split('/');
    return this.router.objects.get({ kind: 'EtlPipeline', namespace, name }) !== undefined;
  }

  /** What the runs are doing. */
  snapshots(): readonly RunSnapshot[] {
    return this.#sidecar.snapshots();
  }

  /** Addresses for people, by what is there. */
  get urls(): readonly (readonly [string, string])[] {
    const { grpc, http, metrics } = this.#running.addresses;
    return [
      ...(http === undefined
        ? []
        : ([['GraphQL', `http://${formatAddress(http)}/graphql`]] as const)),
      ['gRPC', formatAddress(grpc)],
      ...(metrics === undefined
        ? []
        : ([['metrics', `http://${formatAddress(metrics)}/metrics`]] as const)),
    ];
  }

  /**
   * Stops reading, finishes what is in flight within `deadlineMs`, commits, closes. All is closed, also after a part that
   * can not be; then the first error is thrown.
   */
  async close(deadlineMs: number = drainMs): Promise<void> {
    const steps = [
      () => this.#sidecar.close(deadlineMs),
      () => this.#running.close(),
      () => this.#deadLetters.close(),
    ];
    const errors: unknown[] = [];
    for (const step of steps) await step().catch((error: unknown) => errors.push(error));
    if (errors.length > 0) throw errors[0];
  }
}
