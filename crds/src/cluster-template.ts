// What people may say of the pods of a cluster, in the words of Kubernetes. The rest of a pod is the operator's.

import {
  anything,
  choice,
  count,
  duration,
  flag,
  list,
  map,
  type ObjectSchema,
  object,
  type QuantitySchema,
  quantity,
  required,
  text,
} from './schema.ts';
import { objectName, qualifiedNamePattern } from './shared.ts';

const labelValue = text('Value of the label.', {
  min: 0,
  max: 63,
  pattern: '^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$',
});

const keysAreNames = {
  rule: `self.all(key, size(key) <= 317 && key.matches('${qualifiedNamePattern}'))`,
  message:
    'has a key that is no name: at most 63 letters, digits, -, _ and ., and before it a domain and a slash or nothing',
} as const;

const metadata: ObjectSchema = object('What is added to the metadata of the pods.', {
  labels: map('Labels beside those of the operator.', labelValue, {
    max: 32,
    rules: [
      keysAreNames,
      {
        rule: "!self.exists(key, key.startsWith('etl.router/') || key.startsWith('app.kubernetes.io/'))",
        message:
          'labels under etl.router/ and app.kubernetes.io/ are the operator’s: use another prefix',
      },
    ],
  }),
  annotations: map(
    'Annotations.',
    text('Value of the annotation, without control characters.', {
      min: 0,
      max: 4096,
      pattern: '^[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]*$',
    }),
    {
      max: 32,
      rules: [
        keysAreNames,
        {
          rule: "!self.exists(key, key.startsWith('etl.router/'))",
          message: 'annotations under etl.router/ are the operator’s: use another prefix',
        },
      ],
    },
  ),
});

/** What Kubernetes reads as a quantity, such as 500m. */
const quantityPattern =
  '^(([0-9]{1,19}(\\.[0-9]{0,9})?)|(\\.[0-9]{1,9}))([KMGTPE]i|[mkMGTPE]|[eE][0-9]{1,2})?$';

function amount(description: string): QuantitySchema {
  const bounds = { min: '0', max: '4Pi', isChecked: false };
  return quantity(description, { ...bounds, orNumber: true, pattern: quantityPattern });
}

const amounts = {
  cpu: amount('Processors, such as 2 or 500m.'),
  memory: amount('Memory, such as 512Mi.'),
  'ephemeral-storage': amount('Disk of the node, such as 1Gi.'),
};

/** That a limit is not below the request; each of them may be text or a number. */
function atLeast(name: string): { readonly rule: string; readonly message: string } {
  const [limit, request] = [`self.limits.${escaped(name)}`, `self.requests.${escaped(name)}`];
  const present = `!has(self.limits) || !has(self.requests) || !has(${limit}) || !has(${request})`;
  const numbers = `type(${limit}) == int ? (type(${request}) == int ? ${limit} >= ${request} : quantity(${request}).sub(${limit}).compareTo(quantity('0')) <= 0)`;
  const texts = `(type(${request}) == int ? quantity(${limit}).sub(${request}).compareTo(quantity('0')) >= 0 : quantity(${limit}).compareTo(quantity(${request})) >= 0)`;
  return {
    rule: `${present} || (${numbers} : ${texts})`,
    message: `limits.${name} is below requests.${name}: raise the limit or lower the request`,
  };
}

/** A field name as CEL in Kubernetes spells it. */
function escaped(name: string): string {
  return name.replaceAll('-', '__dash__');
}

const resources: ObjectSchema = object(
  'What each member may use.',
  {
    requests: object('What is set aside for it.', amounts),
    limits: object('What it is held to.', amounts),
  },
  {
    fallback: { requests: { cpu: '100m', memory: '256Mi' }, limits: { memory: '1Gi' } },
    rules: Object.keys(amounts).map(atLeast),
  },
);

const keyOf = (what: string): ObjectSchema =>
  object(`A key of a ${what} of the same namespace.`, {
    name: required(objectName(`Name of the ${what}.`)),
    key: required(text('The key.', { pattern: '^[-._a-zA-Z0-9]+$' })),
    optional: flag('Whether the pod starts without it.'),
  });

const variable: ObjectSchema = object(
  'One variable.',
  {
    name: required(
      text('Its name.', {
        max: 128,
        pattern: '^[A-Za-z_][A-Za-z0-9_.-]*$',
        rules: [
          {
            rule: "!self.startsWith('ETL_') && !(self in ['RAFT_NODE_ID', 'RAFT_PEERS', 'GRPC_PORT', 'GRAPHQL_PORT', 'DATA_DIR', 'POD_NAME'])",
            message: 'is set by the operator: use the fields of the spec instead',
          },
        ],
      }),
    ),
    value: text('Its value.', { min: 0, max: 4096 }),
    valueFrom: object(
      'Where its value comes from.',
      {
        secretKeyRef: keyOf('Secret'),
        configMapKeyRef: keyOf('ConfigMap'),
        fieldRef: object('A field of the pod.', {
          fieldPath: required(text('Its path, such as spec.nodeName.', { max: 128 })),
        }),
      },
      { oneOf: [['secretKeyRef', 'configMapKeyRef', 'fieldRef']] },
    ),
  },
  { oneOf: [['value', 'valueFrom']] },
);

const toleration: ObjectSchema = object('One toleration.', {
  key: text('Key of the taint; left out with operator Exists: every taint.', {
    max: 317,
    pattern: qualifiedNamePattern,
  }),
  operator: choice('How key and value are compared.', ['Exists', 'Equal']),
  value: text('Value of the taint.', { min: 0, max: 63 }),
  effect: choice('Effect of the taint; left out: every effect.', [
    'NoSchedule',
    'PreferNoSchedule',
    'NoExecute',
  ]),
  tolerationSeconds: count('How long a pod stays on a node with a taint of effect NoExecute.', {
    min: 0,
    max: 2 ** 31 - 1,
    bits: 64,
  }),
});

const spread: ObjectSchema = object('One constraint; the operator adds the labels of the pods.', {
  topologyKey: required(
    text('Label of nodes, such as topology.kubernetes.io/zone.', {
      max: 317,
      pattern: qualifiedNamePattern,
    }),
  ),
  whenUnsatisfiable: required(
    choice('What happens to a pod that it can not hold for.', ['DoNotSchedule', 'ScheduleAnyway']),
  ),
  maxSkew: required(
    count('How many pods more a domain may have than another.', { min: 1, max: 7 }),
  ),
  minDomains: count('Domains that there have to be.', { min: 1, max: 100 }),
  nodeAffinityPolicy: choice('Whether nodes that the affinity excludes count.', [
    'Honor',
    'Ignore',
  ]),
  nodeTaintsPolicy: choice('Whether nodes with taints count.', ['Honor', 'Ignore']),
});

const affinityOf = (what: string, max: number) =>
  anything(`${what}, in the words of Kubernetes.`, { type: 'object', max });

/** `spec.template`. */
export const podTemplate: ObjectSchema = object(
  'The pods of the members.',
  {
    metadata,
    resources,
    nodeSelector: map(
      'Labels that a node has to have.',
      text('Value of the label.', { min: 0, max: 63 }),
      { max: 32, rules: [keysAreNames] },
    ),
    tolerations: list('Taints of nodes that the pods put up with.', toleration, { max: 32 }),
    affinity: object('Nodes and pods that the pods are drawn to or kept from.', {
      nodeAffinity: affinityOf('Nodes to prefer or to need', 2),
      podAffinity: affinityOf('Pods to be near', 2),
      podAntiAffinity: affinityOf('Pods to be away from', 2),
    }),
    topologySpreadConstraints: list(
      'How the pods spread. Left out: strictly over nodes, and over zones where that is possible.',
      spread,
      { max: 8, by: ['topologyKey', 'whenUnsatisfiable'] },
    ),
    priorityClassName: objectName('PriorityClass of the pods.'),
    env: list('Variables of the routers beside those of the operator.', variable, {
      max: 64,
      by: ['name'],
    }),
    terminationGracePeriod: duration(
      'Time that a member has to hand over and to end before it is killed.',
      { min: '5s', max: '1h', fallback: '90s' },
    ),
  },
  { fallback: {} },
);
