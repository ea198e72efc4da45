#!/usr/bin/env node
// The operator alone: reads its settings, finds the API server, runs until it is told to stop or loses its lease. Exit
// codes: 0 after a stop, 78 for settings that it refuses, 1 for everything else, after which it is to be started anew.

import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import process from 'node:process';
import { createLogger, EtlError, isEtlError, systemClock, systemRandom } from '@etl-router/core';
import { KubeConfig } from '@kubernetes/client-node';
import { createOperator } from './operator.ts';
import { readSettings, type Settings } from './settings.ts';

/** EX_CONFIG: no restart helps. */
const configExitCode = 78;
const tokenFile = '/var/run/secrets/kubernetes.io/serviceaccount/token';

process.exitCode = await main();
// Timers of libraries that outlive the work keep nobody waiting.
process.exit();

async function main(): Promise<number> {
  let settings: Settings;
  let kubeConfig: KubeConfig;
  try {
    kubeConfig = readKubeConfig();
    const context = kubeConfig.getContextObject(kubeConfig.getCurrentContext());
    const namespace = context?.namespace ?? 'default';
    settings = readSettings(process.env, { podName: hostname(), namespace });
  } catch (error) {
    return fail(error);
  }
  const logger = createLogger({ logger: 'operator', level: settings.logLevel });
  if (settings.failpoint !== undefined)
    logger.warn({ failpoint: settings.failpoint }, 'ETL_FAILPOINT is set: this process is to die');
  try {
    const parts = { settings, kubeConfig, clock: systemClock, random: systemRandom, logger };
    const created = createOperator(parts);
    const { operator, manager } = created;
    manager.shutdown.listen(process);
    const { host, port } = await created.start();
    const server = kubeConfig.getCurrentCluster()?.server;
    logger.info({ server, probes: `${host}:${port}` }, 'the operator starts');
    const end = await operator.ended;
    return end === 'stopped' ? 0 : 1;
  } catch (error) {
    return fail(error);
  }
}

/** The one that KUBECONFIG names, else that of the pod. */
function readKubeConfig(): KubeConfig {
  const config = new KubeConfig();
  const files = process.env['KUBECONFIG'] ?? '';
  const isInPod = (process.env['KUBERNETES_SERVICE_HOST'] ?? '') !== '' && existsSync(tokenFile);
  if (files === '' && !isInPod) {
    throw new EtlError(
      'ETL_CONFIG_INVALID',
      'there is no Kubernetes API server: set KUBECONFIG, or run in a pod that has a service account',
    );
  }
  try {
    if (files === '') config.loadFromCluster();
    else config.loadFromDefault();
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new EtlError('ETL_CONFIG_INVALID', `KUBECONFIG: ${files} can not be read: ${cause}`);
  }
  if (config.getCurrentCluster() === null) {
    throw new EtlError(
      'ETL_CONFIG_INVALID',
      `KUBECONFIG: ${files} has no cluster for its current context; choose one with kubectl config use-context`,
    );
  }
  return config;
}

/** One line that says why. */
function fail(error: unknown): number {
  if (!isEtlError(error)) throw error;
  process.stderr.write(`etl-operator: ${error.code}: ${error.message}\n`);
  return error.code === 'ETL_CONFIG_INVALID' ? configExitCode : 1;
}
