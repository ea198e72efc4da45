// docs/reference/configuration.md, from the table of settings that the loader and `--help` use.

import { commonFlags, type ExtraFlag } from '../../router/src/config/flags.ts';
import { type Setting, type SettingType, settings } from '../../router/src/config/settings.ts';
import { standaloneFlags } from '../../standalone/src/flags.ts';
import { codes, table } from './markdown.ts';

export function renderConfiguration(): string {
  return `# Configuration

The router and standalone (\`npm start -- FLAGS\`) have the same settings. A flag wins over a variable, a variable over the
file, the file over the default. Whatever is unknown, ill-typed or out of bounds is refused at the start, all of it at
once, with exit code 78. \`--print-config\` shows every value and where it came from.

## Settings

${table(['key in the file', 'flag', 'variable', 'default', 'bounds', 'meaning'], settings.map(rowOf))}
Addresses are \`host:port\`, IPv6 in brackets; port 0 takes a free one. A variable may give a port alone and keeps the
default's host. Of two variables the first that is set wins.

## Flags that are no settings

${table(['flag', 'meaning'], commonFlags.map(flagRow))}
Standalone alone has:

${table(['flag', 'meaning'], standaloneFlags.map(flagRow))}
## The file

YAML with the sections of the keys; the default is \`config/router.yaml\`, and may be missing:

\`\`\`yaml
node:
  listen_addr: 127.0.0.1:50051
  data_dir: ./data
buffer:
  max_total_bytes: 134217728
metrics:
  path: /metrics
\`\`\`
`;
}

function rowOf(setting: Setting): string[] {
  const { key, flag, short, aliases = [], env = [], defaultText, type, help } = setting;
  const flags = flag === undefined ? [] : [flag, ...aliases].map((name) => `--${name}`);
  return [
    `\`${key}\``,
    codes(short === undefined ? flags : [...flags, `-${short}`]),
    codes(env),
    codes(defaultText === '' ? [] : [defaultText]),
    boundsOf(type),
    help,
  ];
}

function boundsOf(type: SettingType): string {
  switch (type.kind) {
    case 'integer':
      return `${type.min.toLocaleString('en-US')} to ${type.max.toLocaleString('en-US')}`;
    case 'ratio':
      return 'above 0, at most 1';
    case 'boolean':
      return '`true` or `false`';
    case 'text':
      return `1 to ${type.maxLength} characters`;
    case 'path':
      return 'a path';
    case 'advertised':
      return 'an address that others can dial';
    case 'address':
      return type.offAllowed ? 'an address or `off`' : 'an address';
    case 'peers':
      return 'at most 8';
    case 'choice':
      return codes(type.of);
  }
}

function flagRow({ name, type, placeholder, help }: ExtraFlag): string[] {
  return [`\`--${name}${type === 'string' ? ` ${placeholder ?? 'VALUE'}` : ''}\``, help];
}
