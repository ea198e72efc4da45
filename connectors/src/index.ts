// The built-in connectors, by kind and type.

export type { AnyConnector, OpenedConnector, SettingHelp } from './connector-type.ts';
export {
  capabilitiesOf,
  checkConnector,
  connectors,
  createSink,
  createSource,
  createTransform,
} from './registry.ts';
