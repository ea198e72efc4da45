// Reads what `-f` names: a file, a folder, or `-` for standard input. Bounded, and only regular files are opened,
// so a device, a pipe or a loop of links ends in a message and not in a hang.

import { readdir, readFile, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { EtlError } from '@etl-router/core';
import type { Io } from './io.ts';

/** Bytes of one file; manifests are text that people write. */
const maxFileBytes = 16 * 1024 * 1024;
/** Files of one folder, all levels together. */
const maxFiles = 1000;
const extensions = /\.(ya?ml|json)$/;

export interface InputFile {
  /** As it was named, for messages. */
  readonly name: string;
  readonly text: string;
}

/** The files of every path, in order; a folder's files sorted by name. Throws EtlError naming the path. */
export async function readInputs(
  paths: readonly string[],
  recursive: boolean,
  io: Io,
): Promise<InputFile[]> {
  const files: InputFile[] = [];
  for (const path of paths) {
    if (path === '-') {
      files.push({ name: 'standard input', text: decode(path, await readStdin(io)) });
      continue;
    }
    for (const name of await listFiles(path, recursive))
      files.push({ name, text: await readOne(name) });
  }
  return files;
}

async function listFiles(path: string, recursive: boolean): Promise<string[]> {
  const info = await inspect(path);
  if (!info.isDirectory()) return [path];
  const names: string[] = [];
  const folders = [path];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const name = join(folder, entry.name);
      if (entry.isDirectory() && recursive) folders.push(name);
      else if (!entry.isDirectory() && extensions.test(entry.name)) names.push(name);
      if (names.length > maxFiles)
        throw invalid(path, `holds more than ${maxFiles} manifests; name a smaller folder`);
    }
  }
  if (names.length === 0) {
    throw invalid(
      path,
      `holds no .yaml, .yml or .json file${recursive ? '' : '; --recursive looks deeper'}`,
    );
  }
  return names.toSorted();
}

/** Reads to the end, no further than a file may be large, and no longer than until an interrupt. */
async function readStdin({ stdin, signal }: Io): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of addAbortSignal(signal, stdin) as AsyncIterable<Uint8Array>) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > maxFileBytes) break;
    }
  } catch (cause) {
    if (signal.aborted) throw new EtlError('ETL_CANCELLED', 'interrupted', { cause });
    throw invalid('-', reasonOf(cause), cause);
  }
  if (size > maxFileBytes) throw tooLarge('-');
  return Buffer.concat(chunks);
}

function tooLarge(name: string): EtlError {
  return invalid(name, `is larger than ${maxFileBytes / 1024 / 1024} MiB`);
}

async function readOne(name: string): Promise<string> {
  const info = await inspect(name);
  if (!info.isFile()) throw invalid(name, 'is not a regular file');
  if (info.size > maxFileBytes) throw tooLarge(name);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(name);
  } catch (cause) {
    throw invalid(name, reasonOf(cause), cause);
  }
  return decode(name, bytes);
}

function decode(name: string, bytes: Uint8Array): string {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
    throw invalid(name, 'is UTF-16; save it as UTF-8');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw invalid(name, 'is not UTF-8 text', cause);
  }
}

async function inspect(path: string): Promise<Awaited<ReturnType<typeof stat>>> {
  try {
    return await stat(path);
  } catch (cause) {
    const reason = reasonOf(cause);
    const isAbsent = (cause as NodeJS.ErrnoException).code === 'ENOENT' && !isAbsolute(path);
    throw invalid(path, isAbsent ? `${reason} in ${process.cwd()}` : reason, cause);
  }
}

function reasonOf(cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'does not exist';
  if (code === 'EACCES') return 'can not be read: permission denied';
  if (code === 'ELOOP') return 'is a loop of links';
  return `can not be read (${code ?? String(cause)})`;
}

function invalid(path: string, what: string, cause?: unknown): EtlError {
  return new EtlError(
    'ETL_INVALID_ARGUMENT',
    `-f ${path}: ${what}`,
    cause === undefined ? {} : { cause },
  );
}
