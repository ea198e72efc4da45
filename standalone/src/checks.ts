// What standalone can say of manifests beyond their form: the settings of built-in connectors, and whether the stages can
// give the delivery that is required.

import { capabilitiesOf, checkConnector } from '@etl-router/connectors';
import {
  checkGuarantee,
  computeGuarantee,
  connectorOf,
  type Finding,
  kindOfStage,
  type Manifest,
  type Pipeline,
  type PipelineGuarantee,
  type Stage,
  type StageCapabilities,
  type StageKind,
  type Surroundings,
} from '@etl-router/pipeline';

/** Both stores are folders of the data directory. */
export const surroundings: Surroundings = { deadLettersDurable: true, spillDurable: true };

/** The router's extra checks of one manifest. */
export function checkManifest(
  manifest: Manifest,
  pipeline: Pipeline | undefined,
): readonly Finding[] {
  if (pipeline !== undefined) return checkGuarantee(pipeline, guaranteeOf(pipeline));
  const { kind, metadata } = manifest;
  const stageKind = (Object.keys(kindOfStage) as StageKind[]).find(
    (each) => kindOfStage[each] === kind,
  );
  const spec = connectorOf(manifest);
  if (stageKind === undefined || spec === undefined) return [];
  return checkConnector(stageKind, spec, `${kind} ${metadata.namespace}/${metadata.name}`);
}

/** What a pipeline promises with the connectors that are built in; services are unknown until they answer. */
export function guaranteeOf(pipeline: Pipeline): PipelineGuarantee {
  return computeGuarantee(pipeline, stageCapabilities, surroundings);
}

function stageCapabilities({ kind, connector }: Stage): StageCapabilities | undefined {
  const capabilities = connector === undefined ? undefined : capabilitiesOf(kind, connector);
  return capabilities === undefined
    ? undefined
    : ({ kind, [kind]: capabilities } as unknown as StageCapabilities);
}
