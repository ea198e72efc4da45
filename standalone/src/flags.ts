// The switches of standalone beside the settings of the router: `--help` and docs/reference/configuration.md show them.

import type { ExtraFlag } from '@etl-router/router';

/** What is applied when nothing is named. */
export const exampleFile = 'examples/flights/flights.yaml';

/** In the order of the help. */
export const standaloneFlags: readonly ExtraFlag[] = [
  {
    name: 'apply',
    type: 'string',
    multiple: true,
    placeholder: 'FILE',
    help: `Manifests to apply at the start; may be repeated. Default ${exampleFile}.`,
  },
  { name: 'no-apply', type: 'boolean', help: 'Apply nothing; run what is stored.' },
  {
    name: 'once',
    type: 'boolean',
    help: 'End with 0 when every applied pipeline has completed, with 1 when one failed or was deleted.',
  },
];
