// etlctl's own file: where the router is, for whoever does not want to say it each time. Everything in it can also be said
// by a variable or a flag, and those win.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EtlError } from '@etl-router/core';
import type { Io } from './io.ts';

const keys = [
  'server',
  'kubeconfig',
  'context',
  'cluster',
  'namespace',
  'service_account',
] as const;

/** What the file says. */
export type Settings = { readonly [Key in (typeof keys)[number]]?: string };

const maxBytes = 64 * 1024;

/** Throws ETL_CONFIG_INVALID for a file that was named and is not there, or that says what nobody understands. */
export async function readSettings({ env }: Pick<Io, 'env'>): Promise<Settings> {
  const named = env['ETLCTL_CONFIG'];
  const path = named || defaultPath(env);
  if (path === undefined) return {};
  const text = readText(path, Boolean(named));
  if (text === undefined) return {};
  const { loadAll } = await import('js-yaml');
  let documents: unknown[];
  try {
    // A file of comments alone holds no document.
    documents = loadAll(text);
  } catch (cause) {
    throw invalid(path, (cause as Error).message.split('\n')[0] as string);
  }
  if (documents.length > 1) throw invalid(path, 'holds more than one document');
  return check(path, documents[0]);
}

function defaultPath(env: Io['env']): string | undefined {
  const folder = env['XDG_CONFIG_HOME'] || (env['HOME'] ? join(env['HOME'], '.config') : undefined);
  return folder === undefined ? undefined : join(folder, 'etlctl', 'config.yaml');
}

function readText(path: string, isNamed: boolean): string | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    if (text.length > maxBytes) throw invalid(path, 'is larger than 64 KiB');
    return text;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!isNamed && (code === 'ENOENT' || code === 'ENOTDIR')) return undefined;
    if (error instanceof EtlError) throw error;
    throw invalid(path, `can not be read (${code})`);
  }
}

function check(path: string, value: unknown): Settings {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value))
    throw invalid(path, 'needs keys and values');
  for (const [key, text] of Object.entries(value)) {
    if (!keys.includes(key as (typeof keys)[number]))
      throw invalid(path, `there is no ${JSON.stringify(key)}; there are ${keys.join(', ')}`);
    if (typeof text !== 'string' || text === '') throw invalid(path, `${key} needs a text`);
  }
  if ('server' in value && ('cluster' in value || 'context' in value))
    throw invalid(path, 'server excludes cluster and context: a router has one place');
  return value;
}

function invalid(path: string, what: string): EtlError {
  return new EtlError('ETL_CONFIG_INVALID', `${path}: ${what}`);
}
