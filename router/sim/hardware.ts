// The machine under a member: a disk that can fail, be slow, rot or be lost, and a clock that may run wrong. It outlives
// every process on it, and the identities too that were minted on its disk.

import type { Clock, Random } from '@etl-router/core';
import {
  type DiskFault,
  type DiskOperation,
  MemoryDisk,
  type MemoryDiskOptions,
} from '../src/storage/memory-disk.ts';
import type { Kernel, Process } from './kernel.ts';
import type { Profile } from './profile.ts';
import type { Trace } from './trace.ts';

export interface HardwareParts {
  /** `--node-id` of whoever runs here. */
  readonly name: string;
  readonly kernel: Kernel;
  readonly profile: Profile;
  readonly trace: Trace;
  readonly random: Random;
  readonly rate: number;
  readonly skewMs: number;
  /** Of what the processes here draw. */
  readonly seed: number;
}

export class Hardware {
  readonly name: string;
  readonly random: Random;
  readonly seed: number;
  /** Disk operations take until then, at least. */
  stalledUntilMs = 0;
  /** Whether its disk may fail. */
  fails = false;
  /** An operation failed since the process that runs, or ran last, began. */
  hasFailed = false;
  /** Whose operations the disk carries out; undefined: nobody waits for them. */
  process: Process | undefined;
  /** A bit of its log was flipped. */
  isRotten = false;
  readonly #parts: HardwareParts;
  #disk: MemoryDisk;
  #isPowered = true;

  constructor(parts: HardwareParts) {
    this.name = parts.name;
    this.random = parts.random;
    this.seed = parts.seed;
    this.#parts = parts;
    this.#disk = new MemoryDisk(this.#diskOptions());
  }

  get disk(): MemoryDisk {
    return this.#disk;
  }

  clockOf(process: Process): Clock {
    const { kernel, rate, skewMs } = this.#parts;
    return kernel.clockOf(process, rate, skewMs);
  }

  switchOn(): void {
    if (!this.#isPowered) this.#disk.restart();
    this.#isPowered = true;
  }

  /** `power`: what the disk was not told to keep may be lost. */
  end(how: 'power' | 'process'): void {
    this.process = undefined;
    this.hasFailed = false;
    if (how === 'process') return this.#disk.killHolders();
    this.#disk.powerOff();
    this.#isPowered = false;
  }

  /** An empty disk takes the place of the one there was. */
  replaceDisk(): void {
    this.#disk = new MemoryDisk(this.#diskOptions());
    this.#isPowered = true;
    this.isRotten = false;
  }

  /** Flips a bit of the log. */
  rot(): void {
    const paths = this.#disk.paths().filter((path) => path.endsWith('.log'));
    const path = paths[this.random.below(Math.max(1, paths.length))];
    if (path === undefined) return;
    const bytes = this.#disk.peek(path);
    const used = bytes.findLastIndex((byte) => byte !== 0) + 1;
    if (used === 0) return;
    const at = this.random.below(used);
    bytes[at] = (bytes[at] as number) ^ (1 << this.random.below(8));
    this.#disk.poke(path, bytes);
    this.isRotten = true;
    this.#parts.trace.note(`rot ${this.name}`, at);
  }

  #diskOptions(): MemoryDiskOptions {
    const { kernel, profile, random } = this.#parts;
    return {
      random,
      fault: (operation) => this.#fate(operation),
      schedule: ({ kind }, complete) => {
        const stallMs = this.stalledUntilMs - kernel.nowMs;
        const isSync = kind === 'sync' || kind === 'syncDirectory';
        const isSlow = isSync || (kind === 'write' && stallMs > 0);
        if (!isSlow || this.process === undefined) return complete();
        const latencyMs = isSync ? -Math.log(1 - random.next()) * profile.syncMs : 0;
        kernel.after(Math.max(latencyMs, stallMs), this.process, complete);
      },
    };
  }

  #fate({ kind }: DiskOperation): DiskFault | undefined {
    if (!this.fails || (kind !== 'write' && kind !== 'sync')) return undefined;
    if (this.random.next() >= this.#parts.profile.diskErrors) return undefined;
    this.hasFailed = true;
    this.#parts.trace.note(`disk error ${this.name}`);
    return kind === 'write' && this.random.below(2) === 0 ? 'ENOSPC' : 'EIO';
  }
}
