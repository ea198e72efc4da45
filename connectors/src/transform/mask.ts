// Hides fields: for good, or so that equal values stay equal. A salt is read from the environment or a file when the stage
// opens; it never stands in a manifest.

import { createHash, createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { EtlError, type StageContext } from '@etl-router/core';
import type { Fields } from '@etl-router/pipeline';
import { type AnyConnector, defineConnector } from '../connector-type.ts';
import { JsonTransform, type Step } from './json-transform.ts';
import { getAt, type JsonMap, parsePath, setIn, toText } from './path.ts';
import { pathFault } from './read.ts';

const strategies = ['redact', 'hash', 'partial', 'nullify', 'tokenize'] as const;
type Strategy = (typeof strategies)[number];

interface MaskedField {
  readonly field: string;
  readonly strategy: Strategy;
  readonly replacement: string;
  readonly keep: number;
}

interface MaskSettings {
  readonly fields: readonly MaskedField[];
  readonly saltEnv: string | undefined;
  readonly saltFile: string | undefined;
}

/** `mask`. */
export const maskTransform: AnyConnector = defineConnector<MaskSettings>({
  kind: 'transform',
  type: 'mask',
  settings: [
    {
      name: 'fields',
      type: 'list of maps',
      fallback: 'required',
      help: 'What to hide, each with the four settings below.',
    },
    {
      name: 'fields[].field',
      type: 'path',
      fallback: 'required',
      help: 'A field. Null and missing fields are left alone.',
    },
    {
      name: 'fields[].strategy',
      type: strategies.join(', '),
      fallback: 'redact',
      help: 'redact: the replacement. hash: SHA-256 in hexadecimal, keyed by the salt. partial: all but the last characters become `*`. nullify: null. tokenize: `tok_` and 16 characters, equal for equal values; needs a salt.',
    },
    { name: 'fields[].replacement', type: 'text', fallback: '***', help: 'What redact writes.' },
    {
      name: 'fields[].keep',
      type: 'number',
      fallback: '4',
      help: 'Characters that partial leaves; a value that has no more than these is hidden whole.',
    },
    { name: 'saltEnv', type: 'text', fallback: '', help: 'Environment variable with the salt.' },
    { name: 'saltFile', type: 'text', fallback: '', help: 'File with the salt.' },
  ],
  read: readMask,
  capabilities: () => ({ deterministic: true }),
  create: (settings) => new JsonTransform((context) => createStep(settings, context)),
});

function readMask(fields: Fields): MaskSettings {
  const masked: MaskedField[] = [];
  if (!fields.has('fields'))
    fields.report('fields', { code: 'MissingField', message: 'is needed' });
  for (const entry of fields.maps('fields')) {
    const field = entry.requiredText('field') ?? '';
    const fault = entry.has('field') ? pathFault(field) : undefined;
    if (fault !== undefined) entry.report('field', { code: 'BadValue', message: fault });
    masked.push({
      field,
      strategy: entry.oneOf('strategy', strategies, 'redact'),
      replacement: entry.text('replacement') ?? '***',
      keep: entry.integer('keep', 4, { min: 0, max: 1000 }),
    });
    entry.end();
  }
  const saltEnv = fields.text('saltEnv');
  const saltFile = fields.text('saltFile');
  if (
    masked.some(({ strategy }) => strategy === 'tokenize') &&
    saltEnv === undefined &&
    saltFile === undefined
  ) {
    fields.report('saltEnv', {
      code: 'MissingField',
      message: 'tokenize needs a salt: name a variable here, or a file with saltFile',
    });
  }
  return { fields: masked, saltEnv, saltFile };
}

async function createStep(settings: MaskSettings, context: StageContext): Promise<Step> {
  const salt = await readSalt(settings, context);
  const masks = settings.fields.map((masked) => ({
    path: parsePath(masked.field),
    hide: hiderOf(masked, salt),
  }));
  return (value) => {
    let result: JsonMap = value;
    for (const { path, hide } of masks) {
      const member = getAt(result, path);
      if (member === undefined || member === null) continue;
      if (result === value) result = { ...value };
      setIn(result, path, hide(member));
    }
    return result;
  };
}

async function readSalt(
  { saltEnv, saltFile }: MaskSettings,
  context: StageContext,
): Promise<string | undefined> {
  if (saltEnv !== undefined) {
    const salt = process.env[saltEnv];
    if (salt !== undefined && salt !== '') return salt;
    throw new EtlError(
      'ETL_CONFIG_INVALID',
      `stage ${context.stage}: the variable ${saltEnv} that saltEnv names is not set`,
    );
  }
  if (saltFile === undefined) return undefined;
  let salt: string;
  try {
    salt = (await readFile(resolve(context.baseDirectory, saltFile), 'utf8')).trim();
  } catch (cause) {
    throw new EtlError(
      'ETL_CONFIG_INVALID',
      `stage ${context.stage}: saltFile ${saltFile} can not be read`,
      { cause },
    );
  }
  if (salt !== '') return salt;
  throw new EtlError('ETL_CONFIG_INVALID', `stage ${context.stage}: saltFile ${saltFile} is empty`);
}

function hiderOf(
  { strategy, replacement, keep }: MaskedField,
  salt: string | undefined,
): (value: unknown) => unknown {
  switch (strategy) {
    case 'redact':
      return () => replacement;
    case 'nullify':
      return () => null;
    case 'partial':
      return (value) => {
        const letters = Array.from(toText(value));
        const hidden = letters.length > keep ? letters.length - keep : letters.length;
        return '*'.repeat(hidden) + letters.slice(hidden).join('');
      };
    case 'hash':
      return (value) => digest(toText(value), salt);
    case 'tokenize':
      return (value) => `tok_${digest(toText(value), salt).slice(0, 16)}`;
  }
}

function digest(text: string, salt: string | undefined): string {
  const hash = salt === undefined ? createHash('sha256') : createHmac('sha256', salt);
  return hash.update(text).digest('hex');
}
