// Words for what was found: the operations that fit, what they leave, and those that do not fit any more.

import type { HistoryReport } from './check-history.ts';
import type { CounterExample } from './check-key.ts';
import type { Operation } from './operations.ts';

/** Operations of the prefix that are shown. */
const maxShown = 10;

/** Lines about a history; the first one says it all. */
export function describeReport(report: HistoryReport): readonly string[] {
  const { verdict, operations, unanswered, refused, keys, problems } = report;
  const lines = [
    `${verdict}: ${operations} operations on ${keys.length} keys, ${unanswered} of unknown outcome, ${refused} refused`,
  ];
  for (const { key, result } of keys) {
    if (result.verdict === 'undecided') {
      lines.push(
        '',
        `${key} is not decided after ${result.steps} steps: fewer operations of unknown outcome or concurrent clients, or a higher --max-steps`,
      );
    }
    if (result.verdict === 'illegal')
      lines.push('', ...describeExample(key, result.counterExample));
  }
  for (const { operation, message } of problems) {
    lines.push('', `operation ${operation.id} ${message}`, `  ${describeOperation(operation)}`);
  }
  return lines;
}

function describeExample(key: string, example: CounterExample): readonly string[] {
  const { culprit, prefix, state, misfits } = example;
  const shown = prefix.slice(-maxShown);
  const fit =
    prefix.length > maxShown
      ? `  these fit, one after the other (the last ${maxShown} of ${prefix.length}):`
      : '  these fit, one after the other:';
  return [
    `${key} is not linearizable: no order of its operations explains operation ${culprit.id}`,
    ...(prefix.length > 0 ? [fit, ...shown.map((done) => `    ${describeOperation(done)}`)] : []),
    `  which leaves: ${state}`,
    '  and one of these would come next, but none fits:',
    ...misfits.map((misfit) => `    ${describeOperation(misfit)}`),
  ];
}

/** One operation as a line. */
export function describeOperation(operation: Operation): string {
  const { id, client, callNs, returnNs, op, out } = operation;
  const end = returnNs === null ? 'never' : toMs(returnNs);
  const told = out === null ? 'not known' : JSON.stringify(out);
  return `#${id} client ${client} ${toMs(callNs)} to ${end} ${op} ${JSON.stringify(operation.in)} -> ${told}`;
}

function toMs(ns: number): string {
  return `${(ns / 1e6).toFixed(6)} ms`;
}
