// The lifecycle of the operator as `@dot-i/k8s-operator` shapes it: init, start, stop. Nothing of that package's own way to
// the network is left: its watches end the process, its writes fail in silence. Whoever calls one of them is told what does
// the work here. This is the one file that imports the package.

import dotI from '@dot-i/k8s-operator';
import { EtlError, type Logger } from '@etl-router/core';
import type { KubeConfig } from '@kubernetes/client-node';
import type { Manager, ManagerEnd } from './manager.ts';

// The package is CommonJS: its class sits one level down.
const Operator: typeof dotI.default = dotI.default;

export class EtlOperator extends Operator {
  readonly #manager: Manager;
  #running: Promise<ManagerEnd> | undefined;

  constructor(options: {
    readonly manager: Manager;
    readonly kubeConfig: KubeConfig;
    readonly logger: Logger;
  }) {
    const { manager, kubeConfig, logger } = options;
    super({
      debug: (message) => logger.debug(message),
      info: (message) => logger.info(message),
      warn: (message) => logger.warn(message),
      error: (message) => logger.error(message),
    });
    this.kubeConfig = kubeConfig;
    this.#manager = manager;
  }

  /** Resolves when the operator has ended, with how it did. Start it first. */
  get ended(): Promise<ManagerEnd> {
    if (this.#running === undefined)
      throw new EtlError('ETL_INTERNAL', 'the operator was not started');
    return this.#running;
  }

  /** Ends in good order; {@link ended} tells when. */
  override stop(): void {
    void this.#manager.shutdown.stop('stop was called');
  }

  protected override async init(): Promise<void> {
    this.#running = this.#manager.run();
    // Told by `ended`; a rejection before anybody asks must not end the process.
    this.#running.catch(() => undefined);
    await Promise.resolve();
  }

  protected override registerCustomResourceDefinition(): Promise<never> {
    return refuse('registerCustomResourceDefinition', 'the chart installs the kinds');
  }

  protected override getCustomResourceApiUri(): never {
    throw refusal('getCustomResourceApiUri', 'pathOfObject');
  }

  protected override watchResource(): Promise<never> {
    return refuse('watchResource', 'Informer and Controller');
  }

  protected override setResourceStatus(): Promise<never> {
    return refuse('setResourceStatus', 'RawKube.applyStatus');
  }

  protected override patchResourceStatus(): Promise<never> {
    return refuse('patchResourceStatus', 'RawKube.applyStatus');
  }

  protected override handleResourceFinalizer(): Promise<never> {
    return refuse('handleResourceFinalizer', 'addFinalizer and removeFinalizer');
  }

  protected override setResourceFinalizers(): Promise<never> {
    return refuse('setResourceFinalizers', 'addFinalizer and removeFinalizer');
  }

  protected override applyAxiosKubeConfigAuth(): Promise<never> {
    return refuse('applyAxiosKubeConfigAuth', 'RawKube');
  }

  protected override applyGaxiosKubeConfigAuth(): Promise<never> {
    return refuse('applyGaxiosKubeConfigAuth', 'RawKube');
  }
}

function refusal(method: string, instead: string): EtlError {
  return new EtlError('ETL_UNSUPPORTED', `${method} is not used here: ${instead} does that work`);
}

function refuse(method: string, instead: string): Promise<never> {
  return Promise.reject(refusal(method, instead));
}
