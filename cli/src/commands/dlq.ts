// `etlctl dlq`: see, send again and give up dead letters. What acts on many asks for `--all` or a filter first.

import { EtlError } from '@etl-router/core';
import { RouterClient, toCode } from '../client.ts';
import {
  type CommandResult,
  type GlobalOptions,
  type Io,
  printable,
  printableLine,
} from '../io.ts';
import { parseOutput, renderAge, renderJson, renderTable, renderYaml } from '../output.ts';
import { parsePipeline } from '../resources.ts';

interface DeadLetter {
  readonly id: string;
  readonly stage: string;
  readonly source: string;
  readonly partition: string;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly firstFailure: string;
  readonly lastFailure: string;
  readonly contentType: string;
  readonly headers: readonly { readonly key: string; readonly value: string }[];
  readonly payload: string;
  readonly payloadText: string | null;
  readonly payloadBytes: number;
  readonly redriving: boolean;
}

interface Filter {
  readonly ids?: readonly string[];
  readonly stage?: string;
  readonly code?: string;
}

const fields = `id stage source partition code message attempts firstFailure lastFailure contentType
  headers { key value } payload payloadText payloadBytes redriving`;

const pageDocument = `query ($id: ID!, $filter: DeadLetterFilter, $first: Int!, $after: ID) {
  deadLetters(pipelineId: $id, filter: $filter, first: $first, after: $after) {
    items { ${fields} } total endCursor hasNextPage
  }
}`;

interface Page {
  readonly items: readonly DeadLetter[];
  readonly total: number;
  readonly endCursor: string | null;
  readonly hasNextPage: boolean;
}

export interface ListRequest {
  readonly pipeline: string;
  readonly flags: {
    readonly stage?: string;
    readonly code?: string;
    readonly all?: boolean;
    readonly limit: string;
  };
  readonly globals: GlobalOptions;
  readonly io: Io;
}

function filterOf(
  flags: { readonly stage?: string; readonly code?: string },
  ids: readonly string[] = [],
): Filter {
  return {
    ...(ids.length > 0 ? { ids } : {}),
    ...(flags.stage === undefined ? {} : { stage: flags.stage }),
    ...(flags.code === undefined ? {} : { code: flags.code }),
  };
}

export async function listDeadLetters(request: ListRequest): Promise<CommandResult> {
  const { flags, globals, io } = request;
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > 1_000_000) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `--limit: ${JSON.stringify(flags.limit)} is no whole number from 1 to 1000000`,
    );
  }
  const output = parseOutput(globals.output, ['table', 'wide', 'json', 'yaml', 'name']);
  const client = new RouterClient(globals, io);
  const items: DeadLetter[] = [];
  let total = 0;
  let after: string | null = null;
  do {
    const answer: { deadLetters: Page } = await client.query(pageDocument, {
      id: parsePipeline(request.pipeline, globals).id,
      filter: filterOf(flags),
      first: Math.min(500, limit - items.length),
      after,
    });
    items.push(...answer.deadLetters.items);
    total = answer.deadLetters.total;
    after = answer.deadLetters.hasNextPage ? answer.deadLetters.endCursor : null;
  } while (after !== null && items.length < limit);
  await printList(items, output, request);
  if (items.length < total) io.err(`${items.length} of ${total} shown; --limit shows more.\n`);
  return { summary: '' };
}

async function printList(
  items: readonly DeadLetter[],
  output: string,
  request: ListRequest,
): Promise<void> {
  const { io } = request;
  if (output === 'json' || output === 'yaml') {
    const list = { apiVersion: 'v1', kind: 'List', items, metadata: {} };
    io.out(output === 'json' ? renderJson(list) : await renderYaml(list));
  } else if (output === 'name') {
    io.out(items.map((item) => `${printableLine(item.id)}\n`).join(''));
  } else if (items.length === 0) {
    io.err('No dead letters.\n');
  } else if (request.flags.all === true || output === 'wide') {
    const rows = items.map((item) => [
      item.id,
      item.stage,
      item.redriving ? 'redriving' : item.code,
      String(item.attempts),
      renderAge(item.lastFailure, io.clock),
      item.message,
    ]);
    io.out(renderTable(['ID', 'STAGE', 'CODE', 'ATTEMPTS', 'AGE', 'MESSAGE'], rows));
  } else {
    io.out(renderGroups(items, io));
  }
}

/** One line for each cause: dead letters that share stage and code. */
function renderGroups(items: readonly DeadLetter[], io: Io): string {
  const groups = new Map<string, DeadLetter[]>();
  for (const item of items) {
    const group = groups.get(`${item.stage}\n${item.code}`);
    if (group === undefined) groups.set(`${item.stage}\n${item.code}`, [item]);
    else group.push(item);
  }
  const rows = Array.from(groups.values(), (group) => {
    const latest = group.reduce((a, b) => (a.lastFailure > b.lastFailure ? a : b));
    const first = group.reduce((a, b) => (a.firstFailure < b.firstFailure ? a : b));
    return [
      latest.stage,
      latest.code,
      String(group.length),
      renderAge(first.firstFailure, io.clock),
      renderAge(latest.lastFailure, io.clock),
      latest.id,
      latest.message,
    ];
  });
  return renderTable(['STAGE', 'CODE', 'COUNT', 'FIRST', 'LAST', 'EXAMPLE', 'MESSAGE'], rows);
}

export interface ShowRequest {
  readonly pipeline: string;
  readonly id: string;
  readonly globals: GlobalOptions;
  readonly io: Io;
}

export async function showDeadLetter(request: ShowRequest): Promise<CommandResult> {
  const { globals, io } = request;
  const output = parseOutput(globals.output, ['table', 'json', 'yaml']);
  const { deadLetter } = await new RouterClient(globals, io).query<{
    deadLetter: DeadLetter | null;
  }>(
    `query ($pipeline: ID!, $id: ID!) { deadLetter(pipelineId: $pipeline, id: $id) { ${fields} } }`,
    { pipeline: parsePipeline(request.pipeline, globals).id, id: request.id },
  );
  if (deadLetter === null) {
    throw new EtlError(
      'ETL_NOT_FOUND',
      `no dead letter ${JSON.stringify(request.id)} of pipeline ${request.pipeline}`,
    );
  }
  if (output === 'json') io.out(renderJson(deadLetter));
  else if (output === 'yaml') io.out(await renderYaml(deadLetter));
  else {
    const { payloadText, payload, headers, ...rest } = deadLetter;
    for (const [name, value] of Object.entries(rest))
      io.out(`${`${name}:`.padEnd(14)} ${printableLine(String(value))}\n`);
    for (const { key, value } of headers)
      io.out(`header:        ${printableLine(key)}: ${printableLine(value)}\n`);
    io.out(`payload:\n${payloadText === null ? `${payload} (base64)` : printable(payloadText)}\n`);
  }
  return { summary: '' };
}

export interface ActionRequest {
  readonly verb: 'redrive' | 'discard';
  readonly pipeline: string;
  readonly ids: readonly string[];
  readonly flags: {
    readonly stage?: string;
    readonly code?: string;
    readonly all?: boolean;
    readonly dryRun?: boolean;
  };
  readonly globals: GlobalOptions;
  readonly io: Io;
}

export async function actOnDeadLetters(request: ActionRequest): Promise<CommandResult> {
  const { verb, flags, ids, globals, io } = request;
  const filter = filterOf(flags, ids);
  if (Object.keys(filter).length === 0 && flags.all !== true) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `say which dead letters to ${verb}: ids, --stage, --code, or --all for every one of them`,
    );
  }
  const field = verb === 'redrive' ? 'redriveDeadLetters' : 'discardDeadLetters';
  const answer = await new RouterClient(globals, io).query<{
    [field: string]: {
      readonly count: number;
      readonly message: string | null;
      readonly code?: string | null;
    };
  }>(
    `mutation ($id: ID!, $filter: DeadLetterFilter, $dryRun: Boolean!) {
      ${field}(pipelineId: $id, filter: $filter, dryRun: $dryRun) { count dryRun message }
    }`,
    { id: parsePipeline(request.pipeline, globals).id, filter, dryRun: flags.dryRun === true },
  );
  const { count, message } = answer[field] as { count: number; message: string | null };
  if (count === 0 && ids.length > 0) {
    throw new EtlError(
      toCode('ETL_NOT_FOUND'),
      `none of the ids is a dead letter of pipeline ${request.pipeline}`,
    );
  }
  const done = verb === 'redrive' ? 'sent again' : 'discarded';
  const what = `${count} dead letter${count === 1 ? '' : 's'}`;
  const summary = flags.dryRun === true ? `${what} would be ${done}` : `${what} ${done}`;
  return {
    summary: message === null ? summary : `${summary}: ${message}`,
    result: { count, dryRun: flags.dryRun === true },
  };
}
