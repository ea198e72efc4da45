// Reads the configuration file: sections with keys, nothing unknown, each fault with its line.

import { CORE_SCHEMA, load, YAMLException } from 'js-yaml';
import { settings } from './settings.ts';

/** A file as it was read. */
export interface ConfigFile {
  readonly name: string;
  readonly text: string;
}

/** A setting in the file. */
export interface FileValue {
  readonly text: string;
  /** File and line, for messages. */
  readonly place: string;
}

/** Largest configuration file. */
export const maxConfigBytes = 1_048_576;

/** The file's settings by dotted key. What is wrong with it joins the faults. */
export function readConfigFile(file: ConfigFile, faults: string[]): Map<string, FileValue> {
  const values = new Map<string, FileValue>();
  if (file.text.length > maxConfigBytes) {
    faults.push(`${file.name}: is larger than 1 MiB`);
    return values;
  }
  let document: unknown;
  try {
    document = load(file.text, { schema: CORE_SCHEMA, filename: file.name });
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    faults.push(`${file.name}, line ${(error.mark?.line ?? 0) + 1}: ${error.reason}`);
    return values;
  }
  if (document === null || document === undefined) return values;
  if (typeof document !== 'object' || Array.isArray(document)) {
    faults.push(
      `${file.name}: needs sections such as "cluster:", not ${Array.isArray(document) ? 'a list' : typeof document}`,
    );
    return values;
  }
  for (const [section, body] of Object.entries(document))
    readSection({ file, section, body, values, faults });
  return values;
}

interface Section {
  readonly file: ConfigFile;
  readonly section: string;
  readonly body: unknown;
  readonly values: Map<string, FileValue>;
  readonly faults: string[];
}

function readSection({ file, section, body, values, faults }: Section): void {
  const known = settings
    .filter((setting) => setting.key.startsWith(`${section}.`))
    .map(({ key }) => key);
  if (known.length === 0) {
    faults.push(
      `${placeOf(file, section)}: ${section}: there is no such section; sections are ${sectionNames().join(', ')}`,
    );
    return;
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    faults.push(
      `${placeOf(file, section)}: ${section}: needs keys such as ${(known[0] as string).split('.')[1]}`,
    );
    return;
  }
  for (const [name, value] of Object.entries(body)) {
    const key = `${section}.${name}`;
    const place = placeOf(file, section, name);
    if (!known.includes(key)) {
      faults.push(
        `${place}: ${key}: there is no such key; keys are ${known.map((other) => other.split('.')[1]).join(', ')}`,
      );
    } else if (Array.isArray(value) && key === 'node.peers') {
      values.set(key, { text: value.join(','), place });
    } else if (typeof value === 'object' || value === undefined) {
      faults.push(`${place}: ${key}: needs a single value`);
    } else if (!hasRightYamlType(key, value)) {
      faults.push(
        `${place}: ${key}: needs a ${yamlTypeOf(key)}, not ${typeof value === 'string' ? 'text' : typeof value}`,
      );
    } else {
      values.set(key, { text: String(value), place });
    }
  }
}

function sectionNames(): string[] {
  return [...new Set(settings.map(({ key }) => key.split('.')[0] as string))];
}

function yamlTypeOf(key: string): 'number' | 'boolean' | 'text' {
  const kind = settings.find((setting) => setting.key === key)?.type.kind;
  if (kind === 'integer' || kind === 'ratio') return 'number';
  return kind === 'boolean' ? 'boolean' : 'text';
}

function hasRightYamlType(key: string, value: unknown): boolean {
  const wanted = yamlTypeOf(key);
  return wanted === 'text' ? typeof value === 'string' : typeof value === wanted;
}

/** File and line of a key, or of its section where it does not begin a line. */
function placeOf({ name: file, text }: ConfigFile, section: string, name?: string): string {
  const lines = text.split('\n');
  const begins = (line: string, key: string): boolean => {
    const start = line.trimStart().replace(/^["']/, '');
    return start.startsWith(key) && /^["']?\s*:/.test(start.slice(key.length));
  };
  const top = lines.findIndex((line) => !/^\s/.test(line) && begins(line, section));
  if (top < 0) return file;
  let at = top;
  for (let line = top + 1; name !== undefined && line < lines.length; line++) {
    const content = lines[line] as string;
    if (/^[^\s#]/.test(content)) break;
    if (begins(content, name)) at = line;
  }
  return `${file}, line ${at + 1}`;
}
