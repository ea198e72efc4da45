// docs/reference/custom-resources.md, from the schemas of the kinds.

import { type CustomResource, customResources, type Rule, type Schema } from '@etl-router/crds';
import { codes, table } from './markdown.ts';

export function renderCustomResources(): string {
  return `# Custom resources

The kinds of \`etl.router/v1\`, as an API server of Kubernetes knows them: \`kubectl explain erc.spec\` says the same. All
are namespaced and in the category \`etl\`, so \`kubectl get etl\` lists them. A field with a default need not be given.
Fields that are not here are refused. Durations are one to four numbers with \`h\`, \`m\`, \`s\` or \`ms\` (\`1m30s\`), sizes are
quantities (\`64Mi\`).

${customResources.map(renderKind).join('\n')}`;
}

function renderKind({
  kind,
  shortNames,
  description,
  spec,
  status,
  rules,
  columns,
}: CustomResource): string {
  const shown = columns.map(({ name, isWide }) =>
    isWide === true ? `${name.toUpperCase()} (wide)` : name.toUpperCase(),
  );
  const found = [...rules.map(({ message }) => message), ...rulesOf(spec, 'spec')];
  return `## ${kind}

${description} Short: ${codes(shortNames)}. Columns: NAME, ${shown.join(', ')}.

${table(['field', 'type', 'default', 'meaning'], rowsOf(spec, 'spec'))}
${found.length === 0 ? '' : `Rules between fields:\n\n${found.map((rule) => `- ${rule}\n`).join('')}\n`}### Status of ${kind}

${table(
  ['field', 'type', 'meaning'],
  rowsOf(status, 'status').map(([field = '', type = '', , meaning = '']) => [field, type, meaning]),
)}`;
}

/** A row for each field below `schema`, in the order in which they are written. */
function rowsOf(schema: Schema, path: string): string[][] {
  if (schema.kind === 'list') return rowsOf(schema.items, `${path}[]`);
  if (schema.kind === 'map') return rowsOf(schema.values, `${path}.*`);
  if (schema.kind !== 'object') return [];
  return Object.entries(schema.fields).flatMap(([name, field]) => {
    const at = `${path}.${name}`;
    const row = [`\`${at}\``, typeOf(field), fallbackOf(field), plain(field.description)];
    return [row, ...rowsOf(field, at)];
  });
}

/** A sentence as Markdown that looks as it is written. */
function plain(sentence: string): string {
  return sentence.replaceAll('*', '\\*').replaceAll('<', '&lt;');
}

function fallbackOf({ fallback, isRequired, kind }: Schema): string {
  if (isRequired === true) return 'required';
  if (fallback === undefined || (kind === 'object' && JSON.stringify(fallback) === '{}'))
    return '–';
  return `\`${typeof fallback === 'string' ? fallback : JSON.stringify(fallback)}\``;
}

function typeOf(schema: Schema): string {
  switch (schema.kind) {
    case 'text':
      return schema.choices === undefined ? `text, ${schema.maxLength}` : schema.choices.join(', ');
    case 'duration':
      return `duration, ${schema.min} to ${schema.max}`;
    case 'quantity':
      return schema.min === '0' && !schema.isChecked
        ? 'quantity'
        : `size, ${schema.min} to ${schema.max}`;
    case 'count':
    case 'fraction':
      return `number, ${schema.min.toLocaleString('en-US')} to ${schema.max.toLocaleString('en-US')}`;
    case 'flag':
      return 'true or false';
    case 'list':
      return `list, ${schema.maxItems}`;
    case 'map':
      return `map, ${schema.maxProperties}`;
    case 'object':
      return 'object';
    case 'any':
      return 'any';
  }
}

/** What the rules of objects, lists and maps say, with the path; bounds of single values are in the table. */
function rulesOf(schema: Schema, path: string): string[] {
  const isSingle = ['duration', 'quantity', 'fraction'].includes(schema.kind);
  const own = (isSingle ? [] : (schema.rules ?? [])).map(
    ({ message }: Rule) => `\`${path}\` ${message}`,
  );
  if (schema.kind === 'list') return [...own, ...rulesOf(schema.items, `${path}[]`)];
  if (schema.kind === 'map') return [...own, ...rulesOf(schema.values, `${path}.*`)];
  if (schema.kind !== 'object') return own;
  const inner = Object.entries(schema.fields).flatMap(([name, field]) =>
    rulesOf(field, `${path}.${name}`),
  );
  return [...own, ...inner];
}
