// The stage a call is made for, as user code sees it.

import { EtlError, parseJson } from '@etl-router/core';
import type { StageContext as StageMessage } from '@etl-router/proto/stage';

const configMaxBytes = 64 * 1024;

/** Settings from the pipeline's manifest: `spec.grpc.config` of the stage. */
export type StageConfig = { readonly [name: string]: unknown };

/** The stage a call is made for: one service may stand behind many stages of many pipelines. */
export interface Stage {
  /** `namespace/name` of the pipeline; empty for a caller that is no pipeline. */
  readonly pipeline: string;
  /** Name of the stage in the pipeline. */
  readonly stage: string;
  readonly config: StageConfig;
}

/** The stage of a message. Throws ETL_INVALID_ARGUMENT when its settings are no JSON object or over 64 KiB. */
export function toStage(message: StageMessage | undefined): Stage {
  const { pipeline = '', stage = '', configJson = new Uint8Array() } = message ?? {};
  if (configJson.length > configMaxBytes)
    throw invalid(`has ${configJson.length} bytes; at most ${configMaxBytes} are taken`);
  if (configJson.length === 0) return { pipeline, stage, config: {} };
  let config: unknown;
  try {
    config = parseJson(Buffer.from(configJson));
  } catch {
    throw invalid('is not JSON');
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw invalid('is no JSON object');
  return { pipeline, stage, config: config as StageConfig };
}

function invalid(what: string): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', `stage.config_json ${what}`, {
    details: { field: 'stage.config_json' },
  });
}
