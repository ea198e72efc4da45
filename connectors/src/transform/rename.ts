// Gives fields other names.

import { type AnyConnector, defineConnector } from '../connector-type.ts';
import { JsonTransform } from './json-transform.ts';
import { deleteAt, getAt, type JsonMap, parsePath, setAt } from './path.ts';
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
    const paths = renames.map(([from, to]) => [parsePath(from), parsePath(to)] as const);
    return new JsonTransform(() => (value) => {
      const members = paths.map(([from]) => getAt(value, from));
      if (members.every((member) => member === undefined)) return value;
      let result: JsonMap = value;
      paths.forEach(([from], index) => {
        if (members[index] !== undefined) result = deleteAt(result, from);
      });
      paths.forEach(([, to], index) => {
        if (members[index] !== undefined) result = setAt(result, to, members[index]);
      });
      return result;
    });
  },
});
