// What the resolvers work on.

import type { Clock } from '@etl-router/core';
import type { Router } from '../../../server/router.ts';

export interface RouterContext {
  readonly router: Router;
  readonly clock: Clock;
  readonly version: { readonly version: string; readonly commit: string };
}
