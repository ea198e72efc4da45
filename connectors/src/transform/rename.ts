// Gives fields other names.

import { type AnyConnector, defineConnector } from '../connector-type.ts';
import { JsonTransform } from './json-transform.ts';
import { getAt, type JsonMap, parsePath, setIn, withoutPaths } from './path.ts';
import { pathFault, readPathMap } from './read.ts';

interface RenameSettings {
  readonly renames: readonly (readonly [string, string])[];
}

/** `rename`. */
export const renameTransform: AnyConnector = defineConnector<RenameSettings>({
  kind: 'transform',
  type: 'rename',
  settings: [
    {
      name: 'renames',
      type: 'map of path to path',
      fallback: 'required',
      help: 'Old name to new name. A field that is not there is left alone.',
    },
  ],
  read: (fields) => {
    const renames = readPathMap(fields, 'renames', pathFault);
    if (renames.length === 0)
      fields.report('renames', { code: 'MissingField', message: 'is needed' });
    return { renames };
  },
  capabilities: () => ({ deterministic: true }),
  create: ({ renames }) => {
    const sources = renames.map(([from]) => parsePath(from));
    const targets = renames.map(([, to]) => parsePath(to));
    const withoutSources = withoutPaths(sources);
    return new JsonTransform(() => (value) => {
      const members = sources.map((path) => getAt(value, path));
      if (members.every((member) => member === undefined)) return value;
      const result: JsonMap = withoutSources(value);
      for (const [index, path] of targets.entries()) {
        if (members[index] !== undefined) setIn(result, path, members[index]);
      }
      return result;
    });
  },
});
