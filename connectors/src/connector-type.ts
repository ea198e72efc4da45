// What a built-in connector is to those who look it up: its settings, what it can promise, and how it is made. Settings
// are read once, with every fault reported at its path; nothing unknown is ignored.

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
  type Fields,
  type Finding,
  Findings,
  formatFinding,
  isErrorFinding,
  type JsonObject,
  openFields,
} from '@etl-router/pipeline';

/** One setting, for the page of its connector. A test compares the page with this. */
export interface SettingHelp {
  readonly name: string;
  readonly type: string;
  /** As it is written; empty: there is none, `required`: it must be given. */
  readonly fallback: string;
  readonly help: string;
}

interface Common<Kind, Settings> {
  readonly kind: Kind;
  /** Key in the spec, such as `file`. */
  readonly type: string;
  readonly settings: readonly SettingHelp[];
  /** Names that settings had in the earlier system's manifests, and the ones they have now. */
  readonly earlierNames?: { readonly [name: string]: string };
  /** Reads the settings; what is wrong is reported, and a default stands in for it. */
  readonly read: (fields: Fields) => Settings;
}

/** A connector whose settings are of one type. */
export interface SourceType<Settings> extends Common<'source', Settings> {
  readonly capabilities: (settings: Settings) => SourceCapabilities;
  readonly create: (settings: Settings) => Source;
}
export interface TransformType<Settings> extends Common<'transform', Settings> {
  readonly capabilities: (settings: Settings) => TransformCapabilities;
  readonly create: (settings: Settings) => Transform;
}
export interface SinkType<Settings> extends Common<'sink', Settings> {
  readonly capabilities: (settings: Settings) => SinkCapabilities;
  readonly create: (settings: Settings) => Sink;
}

/** A connector without its type of settings: what a table can hold. */
export interface AnyConnector {
  readonly kind: 'source' | 'transform' | 'sink';
  readonly type: string;
  readonly settings: readonly SettingHelp[];
  /** What is wrong with a configuration, and what can be said and made of it when nothing is. */
  readonly open: (config: JsonObject, object: string) => OpenedConnector;
}

/** A configuration that was read. */
export interface OpenedConnector {
  readonly findings: readonly Finding[];
  /** Throws ETL_CONFIG_INVALID when a finding is an error. */
  readonly capabilities: () => SourceCapabilities | TransformCapabilities | SinkCapabilities;
  readonly create: () => Source | Transform | Sink;
}

/** Wraps a connector so that its settings are read and checked before anything is made of them. */
export function defineConnector<Settings>(
  connector: SourceType<Settings> | TransformType<Settings> | SinkType<Settings>,
): AnyConnector {
  return {
    kind: connector.kind,
    type: connector.type,
    settings: connector.settings,
    open: (config, object) => {
      const findings = new Findings(object);
      const path = `spec.${connector.type}`;
      const value = withPresentNames(config, connector.earlierNames ?? {});
      const fields = openFields(findings, { value, path }) as Fields;
      const settings = connector.read(fields);
      fields.end();
      const whole = (): Settings => {
        const errors = findings.list.filter(isErrorFinding);
        if (errors.length === 0) return settings;
        throw new EtlError('ETL_CONFIG_INVALID', errors.map(formatFinding).join('\n'));
      };
      return {
        findings: findings.list,
        capabilities: () => connector.capabilities(whole()),
        create: () => connector.create(whole()),
      };
    },
  };
}

/** A name that stands there both ways stays, and is reported as unknown. */
function withPresentNames(
  config: JsonObject,
  names: { readonly [name: string]: string },
): JsonObject {
  const renamed = Object.entries(config).map(([name, value]) => {
    const present = Object.hasOwn(names, name) ? (names[name] as string) : name;
    return [Object.hasOwn(config, present) ? name : present, value] as const;
  });
  return Object.fromEntries(renamed);
}
