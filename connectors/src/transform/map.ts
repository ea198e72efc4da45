// Makes a new payload, field by field: from another field, an expression, a literal or a default.

import type { RecordBatch } from '@etl-router/core';
import {
  type CompiledExpression,
  compileExpression,
  type Fields,
  isEvaluationFailure,
  type Json,
} from '@etl-router/pipeline';
import { type AnyConnector, defineConnector } from '../connector-type.ts';
import { type CastType, castTypes, castValue } from './cast.ts';
import { JsonTransform, recordError, type Step } from './json-transform.ts';
import { getAt, type JsonMap, parsePath, setIn } from './path.ts';
import { pathFault } from './read.ts';

interface Mapping {
  readonly target: string;
  readonly source: string | undefined;
  readonly expression: string | undefined;
  readonly literal: Json | undefined;
  readonly fallback: Json | undefined;
  readonly cast: CastType | undefined;
}

interface MapSettings {
  readonly mappings: readonly Mapping[];
  readonly dropUnmapped: boolean;
}

/** `map`. */
export const mapTransform: AnyConnector = defineConnector<MapSettings>({
  kind: 'transform',
  type: 'map',
  settings: [
    {
      name: 'mappings',
      type: 'list of maps',
      fallback: 'required',
      help: 'The fields to set, in order, each with the settings below.',
    },
    {
      name: 'mappings[].target',
      type: 'path',
      fallback: 'required',
      help: 'The field that is set.',
    },
    {
      name: 'mappings[].source',
      type: 'path',
      fallback: 'the target',
      help: 'The field it is taken from.',
    },
    {
      name: 'mappings[].expression',
      type: 'CEL over record',
      fallback: '',
      help: 'What it is computed by, such as `record.data.price * 1.19`.',
    },
    { name: 'mappings[].literal', type: 'any', fallback: '', help: 'What it is set to.' },
    {
      name: 'mappings[].default',
      type: 'any',
      fallback: '',
      help: 'What it is set to when the source has no value. Without it the field is left out.',
    },
    { name: 'mappings[].cast', type: castTypes.join(', '), fallback: '', help: 'Its type.' },
    {
      name: 'dropUnmapped',
      type: 'true or false',
      fallback: 'false',
      help: 'Fields that are not set here are left out.',
    },
  ],
  earlierNames: { drop_unmapped: 'dropUnmapped' },
  read: readMap,
  capabilities: () => ({ deterministic: true }),
  create: (settings) => new JsonTransform(() => createStep(settings)),
});

function readMap(fields: Fields): MapSettings {
  if (!fields.has('mappings'))
    fields.report('mappings', { code: 'MissingField', message: 'is needed' });
  const mappings = fields.maps('mappings').map(readMapping);
  return { mappings, dropUnmapped: fields.boolean('dropUnmapped', false) };
}

function readMapping(entry: Fields): Mapping {
  const target = entry.requiredText('target') ?? '';
  const source = entry.text('source');
  const expression = entry.text('expression');
  const literal = entry.raw('literal');
  for (const [name, path] of [
    ['target', target],
    ['source', source],
  ] as const) {
    const fault = path === undefined || !entry.has(name) ? undefined : pathFault(path);
    if (fault !== undefined) entry.report(name, { code: 'BadValue', message: fault });
  }
  if ([source, expression, literal].filter((given) => given !== undefined).length > 1) {
    entry.report('', { code: 'BadValue', message: 'needs one of source, expression and literal' });
  }
  try {
    if (expression !== undefined) compileExpression(expression);
  } catch (error) {
    entry.report('expression', { code: 'BadExpression', message: (error as Error).message });
  }
  const cast = entry.has('cast') ? entry.oneOf('cast', castTypes, 'string') : undefined;
  const fallback = entry.raw('default');
  if (cast === undefined) entry.raw('cast');
  entry.end();
  return { target, source, expression, literal, fallback, cast };
}

function createStep({ mappings, dropUnmapped }: MapSettings): Step {
  const steps = mappings.map((mapping) => ({
    mapping,
    target: parsePath(mapping.target),
    read: readerOf(mapping),
  }));
  return (value, batch, index) => {
    const result: JsonMap = dropUnmapped ? {} : { ...value };
    for (const { mapping, target, read } of steps) {
      let member = read(value, batch, index);
      if (member === undefined || member === null) member = mapping.fallback ?? member;
      if (member === undefined) continue;
      if (mapping.cast !== undefined && member !== null) {
        member = castValue(member, mapping.cast);
        if (member === undefined)
          throw recordError(
            'CAST_FAILED',
            `${mapping.target}: can not become ${mapping.cast} without losing something`,
          );
      }
      setIn(result, target, member);
    }
    return result;
  };
}

type Reader = (value: JsonMap, batch: RecordBatch, index: number) => unknown;

function readerOf({ source, target, expression, literal }: Mapping): Reader {
  if (literal !== undefined) return () => literal;
  if (expression === undefined) {
    const path = parsePath(source ?? target);
    return (value) => getAt(value, path);
  }
  const compiled: CompiledExpression = compileExpression(expression);
  return (_value, batch, index) => {
    const result = compiled.evaluate(batch, index);
    if (isEvaluationFailure(result))
      throw recordError('EXPRESSION_FAILED', `${target}: ${result.message}`);
    return Object.is(result, -0) ? 0 : result;
  };
}
