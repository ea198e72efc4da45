// The built-in connectors by kind and type: the only list of them.

import {
  EtlError,
  type Sink,
  type SinkCapabilities,
  type Source,
  type SourceCapabilities,
  type Transform,
  type TransformCapabilities,
} from '@etl-router/core';
import {
  type ConnectorSpec,
  didYouMean,
  type Finding,
  Findings,
  type StageKind,
} from '@etl-router/pipeline';
import type { AnyConnector, OpenedConnector } from './connector-type.ts';
import { duckdbSink } from './duckdb/sink.ts';
import { fileSink } from './file-sink/sink.ts';
import { fileSource } from './file-source/file-source.ts';
import { generatorSource } from './generator/generator.ts';
import { stdoutSink } from './stdout/sink.ts';
import { castTransform } from './transform/cast.ts';
import { filterTransform } from './transform/filter.ts';
import { lookupTransform } from './transform/lookup.ts';
import { mapTransform } from './transform/map.ts';
import { maskTransform } from './transform/mask.ts';
import { projectTransform } from './transform/project.ts';
import { renameTransform } from './transform/rename.ts';

/** Every built-in connector, sources first, each kind in alphabetical order. */
export const connectors: readonly AnyConnector[] = [
  fileSource,
  generatorSource,
  castTransform,
  filterTransform,
  lookupTransform,
  mapTransform,
  maskTransform,
  projectTransform,
  renameTransform,
  duckdbSink,
  fileSink,
  stdoutSink,
];

/** Handled by the sidecar, whatever the kind: a service of the user's own. */
const grpcType = 'grpc';

/** What is wrong with the connector of an object, such as an unknown type or setting; nothing for `grpc`. */
export function checkConnector(
  kind: StageKind,
  spec: ConnectorSpec,
  object: string,
): readonly Finding[] {
  if (spec.type === grpcType) return [];
  const connector = find(kind, spec.type);
  if (connector !== undefined) return connector.open(spec.config, object).findings;
  const findings = new Findings(object);
  findings.add({
    code: 'UnknownField',
    path: `spec.${spec.type}`,
    message: `there is no ${kind} of type ${spec.type}`,
    suggestion: didYouMean(spec.type, typesOf(kind)) ?? `there are ${typesOf(kind).join(', ')}`,
  });
  return findings.list;
}

/** What the connector can promise; undefined for `grpc`, for unknown types and for settings that are wrong. */
export function capabilitiesOf(
  kind: StageKind,
  spec: ConnectorSpec,
): SourceCapabilities | TransformCapabilities | SinkCapabilities | undefined {
  const opened = find(kind, spec.type)?.open(spec.config, kind);
  if (opened === undefined || opened.findings.some(({ severity }) => severity === 'error'))
    return undefined;
  return opened.capabilities();
}

/** Makes a source. Throws ETL_CONFIG_INVALID that names the object and the field. */
export function createSource(spec: ConnectorSpec, object: string): Source {
  return open('source', spec, object).create() as Source;
}

/** Makes a transform. Throws ETL_CONFIG_INVALID that names the object and the field. */
export function createTransform(spec: ConnectorSpec, object: string): Transform {
  return open('transform', spec, object).create() as Transform;
}

/** Makes a sink. Throws ETL_CONFIG_INVALID that names the object and the field. */
export function createSink(spec: ConnectorSpec, object: string): Sink {
  return open('sink', spec, object).create() as Sink;
}

function open(kind: StageKind, spec: ConnectorSpec, object: string): OpenedConnector {
  const connector = find(kind, spec.type);
  if (connector !== undefined) return connector.open(spec.config, object);
  throw new EtlError(
    'ETL_CONFIG_INVALID',
    `${object}: spec.${spec.type}: there is no ${kind} of this type; there are ${typesOf(kind).join(', ')}`,
  );
}

function find(kind: StageKind, type: string): AnyConnector | undefined {
  return connectors.find((connector) => connector.kind === kind && connector.type === type);
}

function typesOf(kind: StageKind): string[] {
  return [
    ...connectors.filter((connector) => connector.kind === kind).map(({ type }) => type),
    grpcType,
  ];
}
