// A router as a process runs it: storage, the server's objects, and every port. Standalone starts the same and adds a
// sidecar. What was opened is closed in reverse, also where a later step fails.

import {
  type Clock,
  EtlError,
  type Logger,
  type Random,
  systemClock,
  systemRandom,
} from '@etl-router/core';
import { bindServer, closeServer, createServer } from '@etl-router/proto/grpc';
import { logVerbosity, ServerCredentials, setLogVerbosity } from '@grpc/grpc-js';
import { Registry } from 'prom-client';
import { CachedAuthority } from './api/access/cached-authority.ts';
import { Gate } from './api/access/gate.ts';
import { KubernetesAuthority } from './api/access/kubernetes-authority.ts';
import { createGraphQlHandler } from './api/graphql/handler.ts';
import { addRouterServices } from './api/grpc/services.ts';
import { listenError, listenHttp, type RequestHandler } from './api/http/listen.ts';
import { createProbeHandler } from './api/http/probes.ts';
import type { BuildVersion } from './build-version.ts';
import type { RouterConfig } from './config/config.ts';
import { type Address, formatAddress, isWildcard } from './config/parse.ts';
import { prepareDataDirectory } from './data-place.ts';
import { type MemberStorage, openMemberStorage } from './member-storage.ts';
import { Opened } from './opened.ts';
import type { MemberNetwork } from './raft/thread/thread-options.ts';
import type { ApiAddresses } from './raft/transport.ts';
import { registerLogMetrics, registerRouterMetrics } from './router-metrics.ts';
import { Router, type RouterParts } from './server/router.ts';
import { ThreadHealth } from './thread-health.ts';
import { Certificates } from './tls/certificates.ts';

export interface StartRouterOptions
  extends Pick<RouterParts, 'plan' | 'checks' | 'guarantee' | 'deadLetterHolders'> {
  readonly config: RouterConfig;
  readonly logger: Logger;
  readonly version: BuildVersion;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Where the metrics are registered. Default: a registry of its own. */
  readonly registry?: Registry;
  /** Ends the wait for the other members. */
  readonly signal?: AbortSignal;
  /** How long calls in progress may go on when it closes. Default 5,000. */
  readonly drainMs?: number;
}

/** A router that runs. */
export interface RunningRouter {
  readonly router: Router;
  /** Where it listens, with the real port where 0 was asked for; undefined: off. */
  readonly addresses: {
    readonly grpc: Address;
    readonly http: Address | undefined;
    readonly metrics: Address | undefined;
  };
  /** Resolves with the error after which the process must end, should one happen: storage failed. */
  readonly failed: Promise<EtlError>;
  /**
   * Says that it is not ready, hands over where it leads, stops listening, lets calls end, then closes the router,
   * consensus and storage.
   */
  close(): Promise<void>;
}

/** How long a snapshot may take to come over HTTP. */
const uploadTimeoutMs: number = 15 * 60_000;

/** How long a leader that stops waits for another one. */
const handOverMaxMs = 500;

/** The router's own folder in the data directory. */
export const routerFolder = 'router';

/**
 * Opens everything and leads. Throws ETL_PORT_IN_USE naming the flag, ETL_CONFLICT where another process has the data
 * directory, or ETL_STORAGE_CORRUPT. With peers it resolves once they have answered; the probes answer before.
 */
export async function startRouter(options: StartRouterOptions): Promise<RunningRouter> {
  const opened = new Opened();
  try {
    return await open(options, opened);
  } catch (error) {
    await opened.abandon();
    throw error;
  }
}

async function open(options: StartRouterOptions, opened: Opened): Promise<RunningRouter> {
  const { config, logger, clock = systemClock, random = systemRandom } = options;
  const { registry = new Registry(), drainMs = 5000 } = options;
  for (const warning of prepareDataDirectory(config.dataDirectory)) logger.warn(warning);
  const logMetrics = registerLogMetrics(registry);
  opened.add(() => logMetrics.close());
  const { heartbeatIntervalMs: heartbeatMs } = config.cluster;
  const health = new ThreadHealth({ metrics: logMetrics, clock, logger, heartbeatMs });
  opened.add(() => health.close());
  const probes = new Probes(registry, config.metricsPath);
  const metrics = await serveMetrics({ config, opened, drainMs }, probes);
  const network = networkOf(config);
  const storage = await openMemberStorage({
    path: `${config.dataDirectory}/${routerFolder}`,
    name: String(config.nodeId),
    network,
    heartbeatMs,
    electionMs: config.cluster.electionTimeoutMs,
    snapshotInterval: config.cluster.snapshotInterval,
    logQuotaBytes: config.cluster.logQuotaBytes,
    onSync: (event) => health.synced(event),
    onDelay: (delay, hasOthers) => health.delayed(delay, hasOthers),
    clock,
    random,
    logger,
    signal: options.signal ?? new AbortController().signal,
  });
  opened.add(() => storage.close());
  const { consensus } = storage;
  const router = createRouter(options, storage, network);
  opened.add(() => router.close());
  void consensus.failed.then((error) => router.noteFailure(error));
  leadWhenLeading(router, consensus);
  opened.add(registerRouterMetrics(registry, () => router.cluster()));
  const leaving = new AbortController();
  probes.leaving = leaving.signal;
  const serving = { clock, registry, drainMs, opened, leaving: leaving.signal };
  const scope = { options, router, storage, ...serving };
  const addresses = {
    grpc: await serveGrpc(scope),
    http: await serveGraphQl(scope),
    metrics,
  };
  probes.router = router;
  storage.announce(advertised(config, addresses));
  const close = async (): Promise<void> => {
    leaving.abort();
    await handOver(router, logger);
    await opened.close();
  };
  return { router, addresses, failed: consensus.failed, close };
}

function createRouter(
  options: StartRouterOptions,
  { host, consensus, identity, backups, divergence }: MemberStorage,
  network: MemberNetwork,
): Router {
  const { config, logger, clock = systemClock, random = systemRandom } = options;
  const { plan, checks, guarantee, deadLetterHolders } = options;
  return new Router({
    host,
    consensus,
    nodeName: identity.name,
    isNetworked: network.isOpen || consensus.membership.members.length > 1,
    clock,
    random,
    logger,
    backups,
    comparison: divergence,
    digestIntervalMs: config.cluster.stateCheckIntervalMs,
    ...(plan && { plan }),
    ...(checks && { checks }),
    ...(guarantee && { guarantee }),
    ...(deadLetterHolders && { deadLetterHolders }),
  });
}

/** A leader that stops hands over first, so that nobody waits for an election. Never throws. */
async function handOver(router: Router, logger: Logger): Promise<void> {
  try {
    const { role, failure } = router.cluster();
    const voters = router.members.list().filter((member) => member.role !== 'learner');
    if (role !== 'leader' || failure !== undefined || voters.length < 2) return;
    const signal = AbortSignal.timeout(handOverMaxMs);
    const leader = await router.members.transfer(undefined, { signal });
    logger.info({ leader }, 'leadership is handed over');
  } catch (error) {
    logger.debug({ err: error }, 'leadership was not handed over');
  }
}

/** The router's own work is the leader's; a follower answers reads and hands commands over. */
function leadWhenLeading(router: Router, consensus: MemberStorage['consensus']): void {
  const follow = (leads: boolean): void => {
    if (leads) router.lead();
    else void router.follow();
  };
  consensus.watchLeadership(follow);
  if (consensus.leads) router.lead();
}

/** What members tell each other of the ports of clients. A port that listens on all interfaces has no address to tell. */
function advertised(
  { advertisedAddress, advertisedHttpAddress }: RouterConfig,
  { grpc, http }: RunningRouter['addresses'],
): ApiAddresses {
  const told = (own: Address | undefined, listens: Address | undefined): string | undefined => {
    if (listens === undefined) return undefined;
    const address = own ?? (isWildcard(listens.host) ? undefined : listens);
    return address && formatAddress(address);
  };
  return {
    grpcAddress: told(advertisedAddress, grpc),
    httpAddress: told(advertisedHttpAddress, http),
  };
}

function networkOf(config: RouterConfig): MemberNetwork {
  const { peers, ownPeerAddress, raftAddress, security } = config;
  return {
    isOpen: peers.length > 0 || ownPeerAddress !== undefined,
    ...(ownPeerAddress && { ownAddress: formatAddress(ownPeerAddress) }),
    listenAddress: raftAddress ?? { host: '127.0.0.1', port: 0 },
    security,
    peers: peers.map(({ nodeId, address }) => ({
      address: formatAddress(address),
      ...(nodeId === undefined ? {} : { name: String(nodeId) }),
    })),
  };
}

/** What the probes ask; the router is there only later. */
class Probes {
  router: Router | undefined;
  /** Aborts when the process begins to stop. */
  leaving: AbortSignal | undefined;
  readonly handler: RequestHandler;

  constructor(registry: Registry, metricsPath: string) {
    this.handler = createProbeHandler({
      registry,
      metricsPath,
      readiness: [
        { name: 'process', check: () => (this.leaving?.aborted ? 'it stops' : undefined) },
        { name: 'storage', check: () => this.#ask((router) => router.cluster().failure?.message) },
        {
          name: 'leader',
          check: () =>
            this.#ask((router) =>
              router.cluster().leaderName === undefined ? 'none is known' : undefined,
            ),
        },
      ],
    });
  }

  #ask(question: (router: Router) => string | undefined): string | undefined {
    return this.router === undefined ? 'the member is starting' : question(this.router);
  }
}

interface Scope {
  readonly options: StartRouterOptions;
  readonly router: Router;
  readonly storage: MemberStorage;
  readonly clock: Clock;
  readonly registry: Registry;
  readonly drainMs: number;
  readonly opened: Opened;
  /** Aborts when the process begins to stop, and still serves. */
  readonly leaving: AbortSignal;
}

async function serveGrpc(scope: Scope): Promise<Address> {
  const { options, router, storage, clock, registry, drainMs, opened, leaving } = scope;
  const { config, logger, version } = options;
  const { keepaliveIntervalMs, keepaliveTimeoutMs, maxMessageBytes } = config.grpc;
  // What it would print, of a taken port for one, is in the error too.
  setLogVerbosity(logVerbosity.NONE);
  const server = createServer({
    maxMessageBytes,
    channelOptions: {
      'grpc.keepalive_time_ms': keepaliveIntervalMs,
      'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
    },
  });
  const stopping = new AbortController();
  let address = config.listenAddress;
  const member = {
    name: storage.identity.name,
    raftId: storage.identity.nodeId,
    address: () => formatAddress(address),
  };
  const services = addRouterServices(
    server,
    {
      router,
      clock,
      version: version.version,
      metrics: registry,
      member,
      stopping: stopping.signal,
      isClosed: config.apiTls !== undefined,
      needsEpoch: config.access !== undefined,
    },
    logger,
  );
  const port = await bindGrpc(server, address, await credentialsOf(scope));
  address = { ...address, port };
  services.setServing(true);
  leaving.addEventListener('abort', () => services.setServing(false));
  opened.addServer(async () => {
    stopping.abort();
    await closeServer(server, AbortSignal.timeout(drainMs));
  });
  return address;
}

/** Those of the configuration, which follow their files; without any the API is open to whoever reaches it. */
async function credentialsOf({ options, clock, opened }: Scope): Promise<ServerCredentials> {
  const { config, logger } = options;
  if (config.apiTls === undefined) return ServerCredentials.createInsecure();
  const what = 'certificates of the gRPC API';
  const certificates = await Certificates.open({ files: config.apiTls, what, logger });
  opened.add(() => certificates.close());
  return certificates.listen(clock);
}

async function bindGrpc(
  server: ReturnType<typeof createServer>,
  address: Address,
  credentials: ServerCredentials,
): Promise<number> {
  try {
    return await bindServer(server, formatAddress(address), credentials);
  } catch (cause) {
    server.forceShutdown();
    const [code] = /\bE[A-Z]{3,}\b/.exec(String(cause)) ?? [];
    const told = code === undefined ? cause : Object.assign(new Error(String(cause)), { code });
    throw listenError({ address, flag: 'listen-addr' }, told);
  }
}

async function serveGraphQl(scope: Scope): Promise<Address | undefined> {
  const { options, router, clock } = scope;
  const { config, logger, version } = options;
  const { handle, load } = createGraphQlHandler({
    context: { router, clock, version },
    gate: gateOf(config, clock),
    logger,
    health: () => healthOf(router),
  });
  const address = config.httpAddress;
  // Others go on without this member until it is ready, so it may take its time; alone it rather starts soon.
  if (address !== undefined && networkOf(config).isOpen) await load();
  return serveHttp(scope, {
    address,
    flag: 'http-addr',
    handler: handle,
    requestTimeoutMs: uploadTimeoutMs,
  });
}

/** Who may use HTTP; undefined: whoever reaches it. */
function gateOf({ access }: RouterConfig, clock: Clock): Gate | undefined {
  return access && new Gate(new CachedAuthority(new KubernetesAuthority(access), clock));
}

function healthOf(router: Router): { readonly status: string; readonly [field: string]: unknown } {
  const { role, nodeName, leaderName, failure } = router.cluster();
  return {
    status: failure === undefined ? 'healthy' : 'unhealthy',
    nodeId: nodeName,
    isLeader: role === 'leader',
    leaderId: leaderName ?? null,
  };
}

function serveMetrics(
  scope: Pick<Scope, 'opened' | 'drainMs'> & { readonly config: RouterConfig },
  { handler }: Probes,
): Promise<Address | undefined> {
  const { metricsAddress } = scope.config;
  return serveHttp(scope, { address: metricsAddress, flag: 'metrics-addr', handler });
}

async function serveHttp(
  { opened, drainMs }: Pick<Scope, 'opened' | 'drainMs'>,
  wanted: {
    readonly address: Address | undefined;
    readonly flag: string;
    readonly handler: RequestHandler;
    readonly requestTimeoutMs?: number;
  },
): Promise<Address | undefined> {
  const { address } = wanted;
  if (address === undefined) return undefined;
  const server = await listenHttp({ ...wanted, address });
  opened.addServer(() => server.close(drainMs));
  return server.address;
}
