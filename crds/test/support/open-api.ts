// The manifests as an API server reads them.

import { readFileSync } from 'node:fs';
import { type CustomResource, customResources, type JsonValue } from '@etl-router/crds';
import { parseYaml } from '@etl-router/pipeline';

/** The part of an OpenAPI schema that is used. */
export interface OpenApi {
  readonly description?: string;
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly format?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly required?: readonly string[];
  readonly default?: JsonValue;
  readonly anyOf?: readonly OpenApi[];
  readonly items?: OpenApi;
  readonly properties?: { readonly [name: string]: OpenApi };
  readonly additionalProperties?: OpenApi;
  readonly 'x-kubernetes-validations'?: readonly {
    readonly rule: string;
    readonly message: string;
  }[];
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
}

export interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly scope: string;
    readonly names: { readonly [name: string]: JsonValue };
    readonly versions: readonly {
      readonly name: string;
      readonly additionalPrinterColumns: readonly {
        readonly name: string;
        readonly jsonPath: string;
      }[];
      readonly selectableFields: readonly { readonly jsonPath: string }[];
      readonly subresources: { readonly [name: string]: JsonValue };
      readonly schema: { readonly openAPIV3Schema: OpenApi };
    }[];
  };
}

/** A kind and its manifest, as it stands in the repository. */
export interface Known {
  readonly resource: CustomResource;
  readonly definition: Definition;
  readonly schema: OpenApi;
}

export const kinds: readonly Known[] = customResources.map((resource) => {
  const text = readFileSync(
    new URL(`../../manifests/${resource.plural}.yaml`, import.meta.url),
    'utf8',
  );
  const definition = parseYaml(text, resource.plural) as unknown as Definition;
  const version = definition.spec.versions[0] as Definition['spec']['versions'][number];
  return { resource, definition, schema: version.schema.openAPIV3Schema };
});

export function kindOf(name: string): Known {
  return kinds.find(({ resource }) => resource.kind === name) as Known;
}

/** Every schema with its path, the root's first. */
export function* walk(schema: OpenApi, path = ''): Generator<readonly [string, OpenApi]> {
  yield [path, schema];
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    yield* walk(inner, path === '' ? name : `${path}.${name}`);
  }
  if (schema.items !== undefined) yield* walk(schema.items, `${path}[]`);
  if (schema.additionalProperties !== undefined) {
    yield* walk(schema.additionalProperties, `${path}.*`);
  }
}
