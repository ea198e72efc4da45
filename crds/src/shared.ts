// What several kinds have in common: names, references, conditions.

import { type CustomResource } from './custom-resource.ts';
import {
  count,
  list,
  type ObjectSchema,
  object,
  type QuantitySchema,
  quantity,
  required,
  type Schema,
  type TextSchema,
  text,
} from './schema.ts';

/** RFC 1123 label: names of stages. */
export const labelPattern = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$';
/** RFC 1123 subdomain: names of objects. */
export const subdomainPattern =
  '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$';
/** Key of a label, an annotation or a taint: a name, with a domain and a slash before it or not. */
export const qualifiedNamePattern =
  '^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$';

export function objectName(description: string): TextSchema {
  return text(description, { pattern: subdomainPattern });
}

/** A size that people may also write as a number of bytes. */
export function byteSize(
  description: string,
  options: Omit<Parameters<typeof quantity>[1], 'orNumber' | 'pattern'>,
): QuantitySchema {
  return quantity(description, { ...options, orNumber: true });
}

/** The cluster that an object belongs to. */
export const clusterRef: ObjectSchema = object(
  'The EtlRouterCluster that the object belongs to, of the same namespace. Left out: the only one there.',
  { name: required(objectName('Name of the EtlRouterCluster.')) },
  {
    typeName: 'ClusterRef',
    rules: [
      {
        rule: 'self.name == oldSelf.name',
        message: 'can not be changed: delete the object and apply it for the other cluster',
      },
    ],
  },
);

/** Rule of a spec: the reference to a cluster stays once it is there. */
export const clusterRefStays = {
  rule: '!has(oldSelf.clusterRef) || has(self.clusterRef)',
  message: 'clusterRef can not be taken away: delete the object and apply it without',
} as const;

export const remark: TextSchema = text('For people; it has no effect.', { min: 0, max: 4096 });

const condition = object(
  'One thing that is true, false or unknown of the object.',
  {
    type: required(
      text('What it is about, such as Ready.', { max: 63, pattern: '^[A-Z][A-Za-z0-9]*$' }),
    ),
    status: required({
      ...text('Whether it is so.', { max: 7 }),
      choices: ['True', 'False', 'Unknown'],
    }),
    observedGeneration: count('Generation of the spec that it was said of.', {
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
    }),
    lastTransitionTime: required(
      text('When the status last became another.', { max: 40, format: 'date-time' }),
    ),
    reason: required(
      text('Why, in one word of a closed list.', { max: 63, pattern: '^[A-Z][A-Za-z0-9]*$' }),
    ),
    message: required(text('Why, in a sentence, and what to do.', { min: 0, max: 32_768 })),
  },
  { typeName: 'Condition' },
);

/** Fields of every status. */
export const statusFields: { readonly [name: string]: Schema } = {
  observedGeneration: count('Generation of the spec that the status is about.', {
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
  }),
  conditions: list('What is true of the object, one entry a type.', condition, {
    max: 16,
    by: ['type'],
  }),
};

/** Path of a part of a condition, for columns. */
export function conditionPath(type: string, part: 'status' | 'reason' | 'message'): string {
  return `.status.conditions[?(@.type=="${type}")].${part}`;
}

type Column = CustomResource['columns'][number];

/** The column that answers whether it works. */
export const readyColumn: Column = {
  name: 'Ready',
  type: 'string',
  jsonPath: conditionPath('Ready', 'status'),
  description: 'Whether everything is as the spec says.',
};

/** The last columns of every kind. */
export const lastColumns: readonly Column[] = [
  {
    name: 'Age',
    type: 'date',
    jsonPath: '.metadata.creationTimestamp',
    description: 'Time since the object was made.',
  },
  {
    name: 'Reason',
    type: 'string',
    jsonPath: conditionPath('Ready', 'reason'),
    description: 'Why it is ready or not, in one word.',
    isWide: true,
  },
  {
    name: 'Message',
    type: 'string',
    jsonPath: conditionPath('Ready', 'message'),
    description: 'Why it is ready or not, in a sentence.',
    isWide: true,
  },
];
