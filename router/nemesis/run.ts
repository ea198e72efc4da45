// One run: a cluster that works, a scenario, a cluster that works again, and what has to hold then.

import { appendFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { seededRandom } from '@etl-router/core';
import { writeHistory } from '../linearizability/history-file.ts';
import { type Findings, judge, lastReads, lastState } from './checks.ts';
import { Cluster } from './cluster.ts';
import { type Hosts, loopbackHosts, NamespaceHosts } from './hosts.ts';
import { recoveryMaxMs } from './process-scenarios.ts';
import { type Measured, oneOf, type Scenario } from './scenario.ts';
import { Volumes } from './volumes.ts';
import { Workload } from './workload.ts';

export interface RunOptions {
  readonly run: number;
  readonly seed: number;
  readonly scenario: Scenario;
  readonly members: number;
  readonly isolated: boolean;
  /** Operations a second; a cluster that is slower before anything is done to it proves nothing. 0: any will do. */
  readonly leastRate: number;
  /** Folder of this run; stays only where something is wrong. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

export interface RunResult {
  readonly outcome: 'passed' | 'failed' | 'discarded';
  /** Why not passed. */
  readonly problems: readonly string[];
  readonly operations: number;
  readonly unanswered: number;
  readonly operationsPerSecond: number;
  readonly recoveryMs: number;
  readonly lostWrites: number;
  readonly linearizable: boolean;
  readonly failoverMs: readonly number[];
  readonly transferMs: readonly number[];
}

const workloadOptions = { clients: 16, keys: 8, operationsPerSecond: 20 };
const warmUpMs = 1000;
const measureMs = 1500;
const afterMs = 1000;
const foundMaxMs = 60_000;

/** The run was too slow before the fault to prove anything. */
class Discarded extends Error {}

export async function runScenario(options: RunOptions): Promise<RunResult> {
  const run = new Run(options);
  return await run.toEnd();
}

class Run {
  readonly #options: RunOptions;
  readonly #measured: Measured = { failoverMs: [], transferMs: [] };
  readonly #problems: string[] = [];
  #volumes: Volumes | undefined;
  #cluster: Cluster | undefined;
  #workload: Workload | undefined;
  #operationsPerSecond = 0;
  #recoveryMs = 0;
  #startMs = 0;

  constructor(options: RunOptions) {
    this.#options = options;
  }

  async toEnd(): Promise<RunResult> {
    const { folder, run, isolated } = this.#options;
    await mkdir(folder, { recursive: true });
    this.#startMs = performance.now();
    const hosts = isolated ? await NamespaceHosts.make(run) : loopbackHosts(run);
    let outcome: RunResult['outcome'] = 'passed';
    try {
      const work = this.#withVolumes(hosts);
      work.catch(() => undefined);
      await Promise.race([work, whenAborted(this.#options.signal)]);
    } catch (error) {
      outcome = error instanceof Discarded ? 'discarded' : 'failed';
      this.#problem((error as Error).message);
      this.#say((error as Error).stack ?? '');
    }
    if (this.#options.signal.aborted) await this.#abandon();
    else await hosts.close();
    const result = this.#result(outcome);
    if (result.outcome !== 'failed') await rm(folder, { recursive: true, force: true });
    return result;
  }

  /** Nothing is waited for but the end of the processes: the runner ends, and the networks with it. */
  async #abandon(): Promise<void> {
    await this.#cluster?.close();
    await this.#volumes?.close('lazily');
  }

  async #withVolumes(hosts: Hosts): Promise<void> {
    const { scenario, members, folder } = this.#options;
    const volumes = scenario.needs.includes('disk')
      ? new Volumes(join(folder, 'disks'))
      : undefined;
    this.#volumes = volumes;
    try {
      for (let member = 1; member <= members; member++) await volumes?.make(member);
      await this.#withCluster(hosts, volumes);
    } finally {
      await volumes?.close();
    }
  }

  async #withCluster(hosts: Hosts, volumes: Volumes | undefined): Promise<void> {
    const { scenario, members, folder, seed } = this.#options;
    const random = seededRandom(seed);
    const snapshotInterval = scenario.snapshotInterval ?? oneOf(random, [100, 1000, 10_000]);
    const cluster = new Cluster({
      ...{ hosts, folder, members, snapshotInterval, flags: scenario.flags ?? [] },
      dataDirectoryOf: (member) => volumes?.directoryOf(member),
    });
    this.#cluster = cluster;
    const workload = new Workload({ ...workloadOptions, seed, members: () => cluster.members });
    this.#workload = workload;
    try {
      await cluster.start();
      await cluster.healthy(foundMaxMs);
      workload.start();
      await this.#warmUp(workload);
      const stage = { cluster, workload, random, volumes, measured: this.#measured };
      await scenario.run({ ...stage, say: (text) => this.#say(text) });
      await this.#recover(cluster, workload);
      await pause(afterMs);
      await workload.stop();
      for (const problem of await lastReads(cluster, workload)) this.#problem(problem);
      for (const problem of await lastState(cluster)) this.#problem(problem);
    } finally {
      await workload.stop();
      await cluster.close();
      for (const death of cluster.deaths) this.#problem(death);
    }
  }

  async #warmUp(workload: Workload): Promise<void> {
    await pause(warmUpMs);
    const [before, fromMs] = [workload.done, performance.now()];
    await pause(measureMs);
    const seconds = (performance.now() - fromMs) / 1000;
    this.#operationsPerSecond = (workload.done - before) / seconds;
    this.#say(`${Math.round(this.#operationsPerSecond)} operations a second`);
    if (this.#operationsPerSecond < this.#options.leastRate)
      throw new Discarded(
        `only ${Math.round(this.#operationsPerSecond)} operations a second before the fault`,
      );
  }

  async #recover(cluster: Cluster, workload: Workload): Promise<void> {
    const healedMs = performance.now();
    this.#say('healed');
    await cluster.healthy(recoveryMaxMs);
    await workload.writtenAfter(healedMs, recoveryMaxMs);
    this.#recoveryMs = performance.now() - healedMs;
    this.#say(`well again after ${Math.round(this.#recoveryMs)} ms`);
  }

  #result(outcome: RunResult['outcome']): RunResult {
    const history = this.#workload?.recorder.history() ?? [];
    const findings: Findings =
      outcome === 'discarded'
        ? { lostWrites: 0, linearizable: true, problems: this.#problems }
        : judge(history, this.#problems);
    const isWrong = outcome === 'passed' && findings.problems.length > 0;
    if (isWrong || outcome === 'failed')
      writeHistory(join(this.#options.folder, 'history.jsonl'), history);
    for (const problem of findings.problems) this.#say(problem);
    const { lostWrites, linearizable, problems } = findings;
    return {
      ...{ outcome: isWrong ? 'failed' : outcome, problems, lostWrites, linearizable },
      operations: history.length,
      unanswered: history.filter(({ out }) => out === null).length,
      operationsPerSecond: Math.round(this.#operationsPerSecond),
      recoveryMs: Math.round(this.#recoveryMs),
      failoverMs: this.#measured.failoverMs.map(Math.round),
      transferMs: this.#measured.transferMs.map(Math.round),
    };
  }

  #problem(text: string): void {
    this.#problems.push(text);
  }

  #say(text: string): void {
    const atMs = Math.round(performance.now() - this.#startMs);
    appendFileSync(
      join(this.#options.folder, 'run.log'),
      `${String(atMs).padStart(6)} ms  ${text}\n`,
    );
  }
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = (): void => reject(new Discarded('the run was stopped'));
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}
