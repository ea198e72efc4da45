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
  /** The cluster has to be well again within this time. Default: 10 s; more where others use the machine as well. */
  readonly recoveryMaxMs?: number;
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
  /** Requests that were sent to two members at once and answered by both. */
  readonly doubled: number;
  readonly operationsPerSecond: number;
  /** From the last command that ended the harm until every member had an answered write pass through it. */
  readonly recoveryMs: number;
  /** The part of it in which processes that were started for it loaded their code and their data. */
  readonly loadingMs: number;
  readonly lostWrites: number;
  readonly linearizable: boolean;
  readonly failoverMs: readonly number[];
  readonly transferMs: readonly number[];
  /** The whole run. */
  readonly runMs: number;
}

const workloadOptions = { clients: 16, keys: 8, lanes: 3, operationsPerSecond: 20 };
const warmUpMs = 500;
/** Operations are counted over this time, again while the machine is too slow for a while. */
const measureMs = 1000;
const measurementsMax = 8;
const afterMs = 1000;
const comparedMaxMs = 20_000;
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
  #healedMs: number | undefined;
  #recoveryMs = 0;
  #loadingMs = 0;
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
      this.#say('all members agree');
      await workload.prepare();
      workload.start();
      await this.#warmUp(workload);
      const stage = { cluster, workload, random, volumes, measured: this.#measured };
      const maxMs = this.#recoveryMaxMs;
      await scenario.run({
        ...stage,
        recoveryMaxMs: maxMs,
        heal: () => this.#heal(),
        say: (text) => this.#say(text),
      });
      await this.#recover(cluster, workload);
      await Promise.all([pause(afterMs), cluster.compared(Math.max(comparedMaxMs, maxMs))]);
      await workload.stop();
      this.#say('the clients are done');
      for (const problem of await lastReads(cluster, workload)) this.#problem(problem);
      this.#say('everything was read');
      for (const problem of await lastState(cluster)) this.#problem(problem);
      this.#say('all members stopped');
    } finally {
      await workload.stop();
      await cluster.close();
      for (const death of cluster.deaths) this.#problem(death);
      if (scenario.isDivergent !== true)
        for (const alarm of cluster.alarms) this.#problem(`false alarm: ${alarm}`);
    }
  }

  async #warmUp(workload: Workload): Promise<void> {
    const { leastRate } = this.#options;
    await pause(warmUpMs);
    for (let turn = 0; turn < measurementsMax; turn++) {
      const [before, fromMs] = [workload.done, performance.now()];
      await pause(measureMs);
      const seconds = (performance.now() - fromMs) / 1000;
      this.#operationsPerSecond = (workload.done - before) / seconds;
      this.#say(`${Math.round(this.#operationsPerSecond)} operations a second`);
      if (this.#operationsPerSecond >= leastRate) return;
    }
    throw new Discarded(
      `only ${Math.round(this.#operationsPerSecond)} operations a second before the fault`,
    );
  }

  get #recoveryMaxMs(): number {
    return this.#options.recoveryMaxMs ?? recoveryMaxMs;
  }

  async #recover(cluster: Cluster, workload: Workload): Promise<void> {
    const healedMs = this.#healedMs;
    if (healedMs === undefined) throw new Error('the scenario did not end what it did');
    const { members } = cluster;
    const loadedMs = members
      .filter(({ loading }) => loading.fromMs >= healedMs)
      .map(({ loading }) => loading.toMs);
    this.#loadingMs = Math.max(healedMs, ...loadedMs) - healedMs;
    const endMs = healedMs + this.#loadingMs + this.#recoveryMaxMs;
    const answered = await Promise.all(
      members.map((member) => workload.writeThrough(member, endMs)),
    );
    this.#recoveryMs = Math.max(...answered) - healedMs;
    this.#say(
      `every member wrote ${Math.round(this.#recoveryMs)} ms after that, of which processes loaded for ${Math.round(this.#loadingMs)} ms`,
    );
    await cluster.healthy(Math.max(endMs - performance.now(), 0));
    this.#say('well again');
  }

  #heal(): void {
    this.#healedMs = performance.now();
    this.#say('healed');
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
      loadingMs: Math.round(this.#loadingMs),
      failoverMs: this.#measured.failoverMs.map(Math.round),
      transferMs: this.#measured.transferMs.map(Math.round),
      doubled: this.#workload?.doubled ?? 0,
      runMs: Math.round(performance.now() - this.#startMs),
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
