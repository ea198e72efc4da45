// A small ext4 file system for each member, on a loop device over a sparse file: it can be filled, and the file is at any
// moment what a disk would hold if the power went.

import { mkdir, open, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { command } from './command.ts';

const volumeBytes = 96 * 1024 * 1024;
const ballast = 'ballast';

export class Volumes {
  readonly #folder: string;
  /** Image and mount point of each member, the last of those it had. */
  readonly #mounted = new Map<number, { readonly image: string; readonly at: string }>();
  readonly #all: string[] = [];
  #copies = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Where the volume of a member is mounted. */
  directoryOf(member: number): string | undefined {
    const volume = this.#mounted.get(member);
    return volume === undefined ? undefined : join(volume.at, 'data');
  }

  /** A new, empty volume. */
  async make(member: number): Promise<void> {
    const image = join(this.#folder, `member-${member}.img`);
    await mkdir(this.#folder, { recursive: true });
    await writeFile(image, '');
    await truncate(image, volumeBytes);
    await command('mkfs.ext4', '-q', '-m', '0', image);
    await this.#mount(member, image);
  }

  /** Takes the volume's place with a copy of what is on its disk now, as after a loss of power. */
  async copy(member: number): Promise<() => Promise<void>> {
    const { image } = this.#volume(member);
    this.#copies += 1;
    const copied = join(this.#folder, `member-${member}-${this.#copies}.img`);
    await command('cp', '--sparse=always', image, copied);
    return () => this.#mount(member, copied);
  }

  /** Leaves no byte free. */
  async fill(member: number): Promise<void> {
    const { at } = this.#volume(member);
    const file = await open(join(at, ballast), 'a');
    try {
      for (const size of [1 << 20, 1 << 16, 1 << 12, 1]) {
        const block = Buffer.alloc(size, 1);
        while (await written(file.write(block), size));
      }
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async free(member: number): Promise<void> {
    await rm(join(this.#volume(member).at, ballast), { force: true });
  }

  async freeBytes(member: number): Promise<number> {
    const { bavail, bsize } = await statfs(this.#volume(member).at);
    return bavail * bsize;
  }

  /** To be called when no process has anything open there; lazily: whoever still has goes on until it closes it. */
  async close(how?: 'lazily'): Promise<void> {
    const flags = how === 'lazily' ? ['--lazy'] : [];
    for (const at of this.#all.splice(0).toReversed()) await command('umount', ...flags, at);
  }

  async #mount(member: number, image: string): Promise<void> {
    const at = `${image}.mounted`;
    await mkdir(at, { recursive: true });
    // What was not synced stays in memory as long as it can: it is to be lost with the power.
    await command('mount', '-o', 'loop,commit=300', image, at);
    this.#all.push(at);
    this.#mounted.set(member, { image, at });
  }

  #volume(member: number): { readonly image: string; readonly at: string } {
    const volume = this.#mounted.get(member);
    if (volume === undefined) throw new Error(`member ${member} has no volume`);
    return volume;
  }
}

async function written(
  write: Promise<{ readonly bytesWritten: number }>,
  size: number,
): Promise<boolean> {
  try {
    return (await write).bytesWritten === size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}
