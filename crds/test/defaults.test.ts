import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withDefaults } from '@etl-router/crds';
import fc from 'fast-check';
import { admit } from './support/admission.ts';
import { valuesOf } from './support/arbitrary.ts';
import { kinds } from './support/open-api.ts';
import { overridesOf } from './support/overrides.ts';

for (const known of kinds) {
  const { resource } = known;
  test(`${resource.kind}: defaults are filled in as an API server does from the manifest`, () => {
    fc.assert(
      fc.property(valuesOf(resource.spec, overridesOf(resource.kind)), (spec) => {
        const object = { kind: resource.kind, spec };
        const filled = withDefaults(resource, object);
        assert.deepEqual(filled, admit(known, object).object);
        assert.deepEqual(withDefaults(resource, filled), filled);
      }),
      { numRuns: 50 },
    );
  });
}
