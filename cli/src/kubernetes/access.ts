// Which Kubernetes cluster is meant and who we are there: a kubeconfig, or the service account of the pod that etlctl runs
// in. What a kubeconfig can say (files, plug-ins, tokens, proxies) is read by the client library alone.

import { accessSync, readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { delimiter, join } from 'node:path';
import { EtlError, isEtlError } from '@etl-router/core';
import { KubeConfig } from '@kubernetes/client-node';
import type { Io } from '../io.ts';
import type { KubernetesPlace } from '../place.ts';
import { pluginOf, preparePlugin } from './plugin.ts';

const serviceAccountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** A cluster and an identity. */
export class KubernetesAccess {
  readonly config: KubeConfig;
  /** Where the configuration came from, for messages. */
  readonly source: string;
  readonly #timeoutMs: number;
  readonly #io: Io;

  private constructor(config: KubeConfig, source: string, timeoutMs: number, io: Io) {
    this.config = config;
    this.source = source;
    this.#timeoutMs = timeoutMs;
    this.#io = io;
    preparePlugin(config, io, timeoutMs);
  }

  /** Throws ETL_CONFIG_INVALID for a kubeconfig that is missing, unreadable or names no cluster. */
  static load(place: KubernetesPlace, timeoutMs: number, io: Io): KubernetesAccess {
    const { config, source } = read(place, io);
    if (place.context !== undefined) config.setCurrentContext(place.context);
    const context = config.getCurrentContext();
    const names = config.getContexts().map(({ name }) => name);
    if (!names.includes(context)) {
      const there = names.length === 0 ? 'there is none' : `there are ${names.join(', ')}`;
      const what =
        place.context === undefined
          ? 'names no current context'
          : `has no context ${JSON.stringify(place.context)}`;
      throw invalid(source, `${what}; ${there}`);
    }
    const cluster = config.getCurrentCluster();
    if (cluster === null)
      throw invalid(source, `context ${context} names a cluster that is not in it`);
    if (!/^https?:\/\/[^/]/.test(cluster.server ?? ''))
      throw invalid(source, `cluster ${cluster.name} needs the URL of its API server`);
    if (config.getCurrentUser() === null)
      throw invalid(source, `context ${context} names a user that is not in it`);
    return new KubernetesAccess(config, source, timeoutMs, io);
  }

  /** `context prod (https://10.0.0.1:6443)`. */
  get shown(): string {
    return `context ${this.config.getCurrentContext()} (${this.server})`;
  }

  get server(): string {
    return (this.config.getCurrentCluster()?.server ?? '').replace(/\/+$/, '');
  }

  /** What the context says; undefined: nothing. */
  get namespace(): string | undefined {
    return this.config.getContextObject(this.config.getCurrentContext())?.namespace || undefined;
  }

  get user(): string {
    return this.config.getCurrentUser()?.name ?? '';
  }

  /** The credentials, TLS and proxy of a request. A plug-in that has to be asked is waited for. */
  async options(): Promise<RequestOptions> {
    const options: RequestOptions = {};
    const deadline = AbortSignal.any([AbortSignal.timeout(this.#timeoutMs), this.#io.signal]);
    let end = (): void => {};
    const ended = new Promise<never>((_, reject) => {
      end = () => reject(this.#late());
      deadline.addEventListener('abort', end, { once: true });
    });
    try {
      await Promise.race([this.config.applyToHTTPSOptions(options), ended]);
      return options;
    } catch (error) {
      if (deadline.aborted || (error as Error).name === 'AbortError') throw this.#late();
      throw isEtlError(error) ? error : this.#unusable(error as Error);
    } finally {
      deadline.removeEventListener('abort', end);
    }
  }

  #late(): EtlError {
    if (this.#io.signal.aborted) return new EtlError('ETL_CANCELLED', 'interrupted');
    return new EtlError(
      'ETL_TIMEOUT',
      `${this.source}: the credentials of user ${this.user} did not come within ${this.#timeoutMs / 1000}s (--timeout)${this.#plugin()}`,
    );
  }

  #unusable(error: Error): EtlError {
    const said = saidBy(error);
    return new EtlError(
      'ETL_UNAUTHENTICATED',
      `${this.source}: no credentials for user ${this.user}${this.#plugin()}: ${said}`,
      { cause: error },
    );
  }

  #plugin(): string {
    const command = pluginOf(this.config);
    return command === undefined ? '' : ` from the plug-in ${command}`;
  }
}

/** Why there are no credentials. What was no answer is not repeated: it may hold a token all the same. */
function saidBy(error: Error): string {
  if (error instanceof SyntaxError) return 'what it printed is no ExecCredential';
  if (error instanceof TypeError) return 'its ExecCredential holds no credentials';
  return error.message.trim().split('\n').slice(0, 3).join(' ') || 'it gave no reason';
}

function read(place: KubernetesPlace, io: Io): { config: KubeConfig; source: string } {
  const { env } = io;
  const home = env['HOME'] ? join(env['HOME'], '.kube', 'config') : undefined;
  const listed = (env['KUBECONFIG'] ?? '').split(delimiter).filter(Boolean);
  if (place.kubeconfig !== undefined) return readFiles([place.kubeconfig], '--kubeconfig');
  if (listed.length > 0) return readFiles(listed, 'KUBECONFIG');
  if (home !== undefined && isThere(home)) return readFiles([home], undefined);
  if (env['KUBERNETES_SERVICE_HOST'] && isThere(`${serviceAccountFolder}/token`)) {
    const config = new KubeConfig();
    config.loadFromCluster();
    return { config, source: 'the service account of this pod' };
  }
  throw new EtlError(
    'ETL_CONFIG_INVALID',
    `there is no kubeconfig: ${home ?? '~/.kube/config'} does not exist; name one with --kubeconfig or KUBECONFIG, or a router with --server`,
  );
}

/** Several files are one: what comes first counts, as kubectl has it. */
function readFiles(
  files: readonly string[],
  named: string | undefined,
): { config: KubeConfig; source: string } {
  const config = new KubeConfig();
  const there = named === 'KUBECONFIG' && files.length > 1 ? files.filter(isThere) : files;
  if (there.length === 0)
    throw invalid(`KUBECONFIG ${files.join(delimiter)}`, 'none of the files exists');
  for (const [at, file] of there.entries()) {
    const source = named === undefined ? file : `${named} ${file}`;
    try {
      readFileSync(file);
      const part = at === 0 ? config : new KubeConfig();
      part.loadFromFile(file, { onInvalidEntry: 'filter' });
      if (part !== config) merge(config, part);
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      const why =
        code === 'ENOENT'
          ? 'does not exist'
          : code === undefined
            ? `is no kubeconfig (${message.split('\n')[0]})`
            : `can not be read (${code})`;
      throw invalid(source, why);
    }
  }
  return { config, source: there.join(delimiter) };
}

function merge(into: KubeConfig, part: KubeConfig): void {
  const lacks = (have: readonly { name: string }[]) => (each: { name: string }) =>
    !have.some(({ name }) => name === each.name);
  for (const cluster of part.clusters.filter(lacks(into.clusters))) into.addCluster(cluster);
  for (const user of part.users.filter(lacks(into.users))) into.addUser(user);
  for (const context of part.contexts.filter(lacks(into.contexts))) into.addContext(context);
  if (!into.getCurrentContext()) into.setCurrentContext(part.getCurrentContext());
}

function isThere(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

function invalid(source: string, what: string): EtlError {
  return new EtlError('ETL_CONFIG_INVALID', `${source}: ${what}`);
}
