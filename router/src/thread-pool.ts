// The threads that read, write and sync files and look up names, one pool for the whole process. Import this first in a
// program: the size is read once, with the pool's first use. Node's four are too few: a name that is not answered holds
// a thread for seconds, and with every one held no entry of the log becomes durable.

import process from 'node:process';

const variable = 'UV_THREADPOOL_SIZE';
const defaultThreads = 16;
const minThreads = 8;

process.env[variable] ??= String(defaultThreads);

/** What is to be said of a size that was given, in words; nothing where it is fine. */
export function threadPoolWarnings(
  given: string | undefined = process.env[variable],
): readonly string[] {
  if (given === undefined || Number(given) >= minThreads) return [];
  return [
    `${variable} is ${given}: syncs of the log wait for lookups of names and other files behind that few threads; give at least ${minThreads}, or none for ${defaultThreads}`,
  ];
}
