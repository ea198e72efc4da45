// Puts the process together: one pool of connections, a client that acts only while this process leads and one that never
// does, the caches, the controller, the port for probes and metrics, and the order in which all of it ends.

import { createServer, type Server } from 'node:http';
import { type Clock, EtlError, type Logger, type Random } from '@etl-router/core';
import type { KubeConfig } from '@kubernetes/client-node';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { ClusterCaches } from './cluster/caches.ts';
import { ClusterController } from './cluster/controller.ts';
import { registerClusterMetrics } from './cluster/metrics.ts';
import { createFailpoint, noFailpoint } from './failpoint.ts';
import { RouterAdmins } from './router-client.ts';
import { KubeConnection } from './runtime/connection.ts';
import { Controller } from './runtime/controller.ts';
import { EventRecorder } from './runtime/events.ts';
import type { CacheView } from './runtime/informer.ts';
import { LeaderElection } from './runtime/leader-election.ts';
import { leaseKind } from './runtime/lease.ts';
import { Manager } from './runtime/manager.ts';
import { type RuntimeMetrics, registerRuntimeMetrics } from './runtime/metrics.ts';
import {
  createProbeHandler,
  LoopLag,
  livenessChecks,
  readinessChecks,
  startupChecks,
} from './runtime/probes.ts';
import { RawKube } from './runtime/raw-kube.ts';
import { EtlOperator } from './runtime/shell.ts';
import { resyncPriority, userPriority } from './runtime/work-queue.ts';
import type { Settings } from './settings.ts';

/** Who the operator is in events. */
const controllerName = 'etl.router/operator';

/** Between two words about caches that do not fill. */
const startingMs = 10_000;

export interface OperatorOptions {
  readonly settings: Settings;
  readonly kubeConfig: KubeConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** How a failpoint kills. Default: by SIGKILL. */
  readonly die?: () => void;
}

/** An operator that was put together. */
export interface OperatorProcess {
  readonly operator: EtlOperator;
  readonly manager: Manager;
  /** Opens the port and starts; the address is that of probes and metrics. */
  start(): Promise<{ readonly host: string; readonly port: number }>;
  /** Hangs up on everybody and gives nothing back, as a process that is killed does. For tests. */
  abandon(): void;
}

export function createOperator(options: OperatorOptions): OperatorProcess {
  const { settings, kubeConfig, clock, logger } = options;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const parts = createParts(options, registry);
  const { client, leaseClient, caches, controller, routers, connection } = parts;
  const { informers } = caches;
  const lag = new LoopLag(clock);
  const server = createServer({ maxHeaderSize: 16_384, requestTimeout: 30_000 });
  const ending = new AbortController();
  const manager = new Manager({
    ...{ clock, random: options.random, logger, informers, controllers: [controller] },
    ...{ events: parts.events, election: parts.election },
    async close() {
      ending.abort();
      lag.close();
      routers.close();
      connection.close();
      await closeServer(server);
    },
  });
  const clients = [client, leaseClient];
  const stopping = (): boolean => manager.shutdown.stopping;
  const handler = createProbeHandler({
    registry,
    live: livenessChecks(lag, [controller]),
    ready: readinessChecks({ clients, informers, clock, stopping }),
    started: startupChecks(informers),
  });
  server.on('request', handler);
  const operator = new EtlOperator({ manager, kubeConfig, logger });
  return {
    operator,
    manager,
    async start() {
      const address = await listen(server, settings.metrics);
      sayWhatIsMissing({ informers, clock, logger, signal: ending.signal });
      await operator.start();
      return address;
    },
    abandon() {
      connection.close();
      routers.close();
      server.close();
    },
  };
}

/** What does the work, without the process around it. */
function createParts(options: OperatorOptions, registry: Registry) {
  const { settings, kubeConfig, clock, random, logger, die } = options;
  const metrics = registerRuntimeMetrics(registry);
  const connection = new KubeConnection(kubeConfig, clock);
  const shared = { connection, clock, metrics };
  const leaseClient = new RawKube({ ...shared, callsPerSecond: 10, burst: 20 });
  const election = electionOf(options, leaseClient, metrics);
  const mayWrite = (): boolean => election.mayWrite();
  const client = new RawKube({ ...shared, mayWrite, callsPerSecond: 100, burst: 200 });
  const common = { client, clock, random, logger, metrics };
  const caches = new ClusterCaches({ ...common, namespaces: settings.watchNamespaces });
  const instance = settings.podName;
  const events = new EventRecorder({ ...common, controller: controllerName, instance });
  const clusterMetrics = registerClusterMetrics(registry);
  const routers = new RouterAdmins({
    ...{ clock, logger, mayWrite },
    epoch: () => election.epoch,
    onCall: (method, code) => clusterMetrics.call(method, code),
  });
  const lease = { kind: leaseKind, namespace: settings.leaseNamespace, name: settings.leaseName };
  const { failpoint } = settings;
  const clusters = new ClusterController({
    ...{ client, caches, routers, events, clock, random, metrics: clusterMetrics },
    installed: settings.routerImage,
    passFailpoint:
      failpoint === undefined
        ? noFailpoint
        : createFailpoint(failpoint, { client: leaseClient, lease, die }),
  });
  const controller = new Controller({
    ...{ name: 'etlroutercluster', clock, random, logger, metrics },
    reconcile: (key, context) => clusters.reconcile(key, context),
  });
  caches.listen((key, fromList) =>
    controller.queue.add(key, fromList ? resyncPriority : userPriority),
  );
  return { connection, leaseClient, election, client, caches, events, routers, controller };
}

function electionOf(
  { settings, clock, random, logger }: OperatorOptions,
  client: RawKube,
  metrics: RuntimeMetrics,
): LeaderElection {
  const suffix = random.below(0x1_0000_0000).toString(16).padStart(8, '0');
  return new LeaderElection({
    ...{ client, clock, random, logger, metrics },
    namespace: settings.leaseNamespace,
    name: settings.leaseName,
    identity: `${settings.podName}_${suffix}`,
  });
}

/** Says now and then which caches do not fill, and why, until all are full. */
function sayWhatIsMissing(what: {
  readonly informers: readonly CacheView[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}): void {
  const { informers, clock, logger, signal } = what;
  const cancel = clock.after(startingMs, () => {
    const empty = informers.filter(({ synced }) => !synced);
    if (empty.length === 0 || signal.aborted) return;
    const missing = Object.fromEntries(
      empty.map(({ kind, failure }) => [kind.plural, failure?.message ?? 'no answer yet']),
    );
    logger.warn(
      { missing },
      'waiting for the API server; see that it is reached and grants list and watch',
    );
    sayWhatIsMissing(what);
  });
  signal.addEventListener('abort', cancel, { once: true });
}

async function listen(
  server: Server,
  { host, port }: Settings['metrics'],
): Promise<{ readonly host: string; readonly port: number }> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === 'EADDRINUSE'
          ? new EtlError(
              'ETL_PORT_IN_USE',
              `ETL_METRICS_ADDR: ${host}:${port} is in use; give another address`,
              { cause },
            )
          : new EtlError(
              'ETL_CONFIG_INVALID',
              `ETL_METRICS_ADDR: can not listen on ${host}:${port} (${cause.code})`,
              { cause },
            ),
      ),
    );
    server.listen({ host, port }, resolve);
  });
  const bound = server.address();
  return { host, port: typeof bound === 'object' && bound !== null ? bound.port : port };
}

function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  return closed;
}
