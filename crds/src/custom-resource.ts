// A kind, and the CustomResourceDefinition that teaches it to an API server.

import { toOpenApi } from './open-api.ts';
import type { JsonValue, ObjectSchema, Rule } from './schema.ts';

/** The API group of every kind. */
export const group = 'etl.router';
/** The only version: served, stored, and changed by additions alone. */
export const version = 'v1';

/** A column of `kubectl get`. */
export interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly description: string;
  /** Shown by `-o wide` only. */
  readonly isWide?: boolean;
}

export interface CustomResource {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  /** What an object of the kind is, for `kubectl explain`. */
  readonly description: string;
  readonly spec: ObjectSchema;
  readonly status: ObjectSchema;
  /** Rules that see the name beside the spec. */
  readonly rules: readonly Rule[];
  readonly columns: readonly Column[];
  /** Fields that `kubectl get --field-selector` takes. */
  readonly selectable: readonly string[];
  /** Paths of the scale subresource. */
  readonly scale?: {
    readonly specReplicas: string;
    readonly statusReplicas: string;
    readonly selector: string;
  };
}

/** The CustomResourceDefinition, as `kubectl apply` takes it. */
export function toDefinition(resource: CustomResource): { readonly [name: string]: JsonValue } {
  const { kind, plural, shortNames, selectable } = resource;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames,
        categories: ['etl'],
      },
      conversion: { strategy: 'None' },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: subresourcesOf(resource),
          selectableFields: selectable.map((jsonPath) => ({ jsonPath })),
          additionalPrinterColumns: resource.columns.map(toColumn),
          schema: { openAPIV3Schema: rootSchema(resource) },
        },
      ],
    },
  };
}

function subresourcesOf({ scale }: CustomResource): JsonValue {
  if (scale === undefined) return { status: {} };
  return {
    status: {},
    scale: {
      specReplicasPath: scale.specReplicas,
      statusReplicasPath: scale.statusReplicas,
      labelSelectorPath: scale.selector,
    },
  };
}

function toColumn({ name, type, jsonPath, description, isWide }: Column): JsonValue {
  return { name, type, jsonPath, description, ...(isWide === true ? { priority: 1 } : {}) };
}

function rootSchema({ description, spec, status, rules }: CustomResource): JsonValue {
  return {
    description,
    type: 'object',
    required: ['spec'],
    properties: {
      apiVersion: { description: `\`${group}/${version}\`.`, type: 'string', maxLength: 64 },
      kind: { description: 'What the object is.', type: 'string', maxLength: 64 },
      metadata: { type: 'object' },
      spec: toOpenApi(spec),
      status: toOpenApi(status),
    },
    ...(rules.length === 0
      ? {}
      : { 'x-kubernetes-validations': rules.map(({ rule, message }) => ({ rule, message })) }),
  };
}
