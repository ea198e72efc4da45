// A failing seed for people: the command that runs it again, and a file with what led to it.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Plan, type WeatherKind, weatherKinds } from './faults.ts';
import type { Report } from './pool.ts';

/** Reads `--faults` and `--without`. Throws what is wrong with them. */
export function parsePlan({
  faults,
  without,
}: {
  readonly faults?: string | undefined;
  readonly without?: string | undefined;
}): Plan {
  const kinds = without === undefined || without === '' ? [] : without.split(',');
  for (const kind of kinds) {
    if ((weatherKinds as readonly string[]).includes(kind)) continue;
    throw new Error(`--without: ${kind} is none of ${weatherKinds.join(', ')}`);
  }
  return {
    faults:
      faults === undefined
        ? undefined
        : new Set(faults === 'none' ? [] : faults.split(',').map(Number)),
    without: new Set(kinds as WeatherKind[]),
  };
}

/** The command that runs a seed again, so far as it was made smaller. */
export function replayCommand(seed: number, { faults, without }: Plan = {}): string {
  const numbers = [...(faults ?? [])].join() || 'none';
  const kinds = [...(without ?? [])].join();
  return [
    `npm run sim -- --seed ${seed}`,
    ...(faults === undefined ? [] : [`--faults ${numbers}`]),
    ...(kinds === '' ? [] : [`--without '${kinds}'`]),
  ].join(' ');
}

/** Writes what happened to `<directory>/seed-<seed>.txt`; returns the path. */
export async function writeTranscript(
  directory: string,
  report: Report,
  plan: Plan,
): Promise<string> {
  const { seed, violation, profile, faults, members, trace, events, ms } = report;
  const path = join(directory, `seed-${seed}.txt`);
  const lines = [
    `seed ${seed}: ${violation?.oracle}: ${violation?.message}`,
    `after ${events} events and ${ms.toFixed(3)} ms`,
    replayCommand(seed, plan),
    '',
    'faults',
    ...faults.map(({ number, kind, atMs }) => `${atMs.toFixed(3).padStart(11)} ${number} ${kind}`),
    '',
    'members',
    ...members,
    '',
    'profile',
    ...Object.entries(profile).map(([name, value]) => `${name}: ${value}`),
    '',
    'events',
    ...trace,
    '',
  ];
  await mkdir(directory, { recursive: true });
  await writeFile(path, lines.join('\n'));
  return path;
}
