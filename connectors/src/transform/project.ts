// Keeps some fields, or all but some.

import type { Fields } from '@etl-router/pipeline';
import { type AnyConnector, defineConnector } from '../connector-type.ts';
import { JsonTransform } from './json-transform.ts';
import { getAt, type JsonMap, parsePath, setIn, withoutPaths } from './path.ts';
import { readPaths } from './read.ts';

interface ProjectSettings {
  readonly fields: readonly string[];
  readonly exclude: readonly string[];
}

/** `project`. */
export const projectTransform: AnyConnector = defineConnector<ProjectSettings>({
  kind: 'transform',
  type: 'project',
  settings: [
    {
      name: 'fields',
      type: 'list of paths',
      fallback: '',
      help: 'The fields that are kept, in this order.',
    },
    {
      name: 'exclude',
      type: 'list of paths',
      fallback: '',
      help: 'The fields that are left out. One of the two has to be given.',
    },
  ],
  read: (fields: Fields) => {
    const settings = { fields: readPaths(fields, 'fields'), exclude: readPaths(fields, 'exclude') };
    if ((settings.fields.length === 0) === (settings.exclude.length === 0)) {
      fields.report('', { code: 'BadValue', message: 'needs either fields or exclude' });
    }
    return settings;
  },
  capabilities: () => ({ deterministic: true }),
  create: ({ fields, exclude }) => {
    const kept = fields.map(parsePath);
    const withoutGone = withoutPaths(exclude.map(parsePath));
    return new JsonTransform(() => (value) => {
      if (kept.length === 0) return withoutGone(value);
      const result: JsonMap = {};
      for (const path of kept) {
        const member = getAt(value, path);
        if (member !== undefined) setIn(result, path, member);
      }
      return result;
    });
  },
});
