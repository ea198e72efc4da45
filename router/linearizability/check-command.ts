// `npm run linear -- check FILES...`: says of each history whether it is linearizable and, where it is not, why. With
// --porcupine the other checker is asked about the same files, and that both say the same is part of the answer.

import { checkHistory, type HistoryReport, type Verdict } from './check-history.ts';
import { describeReport } from './describe.ts';
import { readHistory } from './history-file.ts';
import { askPorcupine, buildPorcupine } from './porcupine.ts';

export interface CheckOptions {
  readonly files: readonly string[];
  readonly maxSteps: number;
  /** For each key of ours; for each file of porcupine's. */
  readonly timeoutS: number;
  readonly asksPorcupine: boolean;
  readonly say: (line: string) => void;
}

/** The exit code: 0 when every history is right and, where porcupine is asked, it says the same. */
export async function check(options: CheckOptions): Promise<number> {
  const { files, maxSteps, timeoutS, asksPorcupine, say } = options;
  if (asksPorcupine) await buildPorcupine();
  const reports: HistoryReport[] = [];
  for (const file of files) {
    const endMs = performance.now() + timeoutS * 1000;
    const report = checkHistory(readHistory(file), {
      maxSteps,
      isOver: () => performance.now() > endMs,
    });
    reports.push(report);
    say(`${file}: ${describeReport(report).join('\n')}`);
  }
  const theirs = asksPorcupine ? await askPorcupine(files, timeoutS) : [];
  const disagreed = theirs.filter((verdict, at) => verdict !== reports[at]?.linearizable);
  for (const [at, verdict] of theirs.entries()) {
    const ours = reports[at]?.linearizable;
    if (verdict !== ours) say(`${files[at]}: ours says ${ours}, porcupine ${verdict}`);
  }
  const count = (verdict: Verdict): number =>
    reports.filter((report) => report.verdict === verdict).length;
  const summary = {
    histories: reports.length,
    operations: reports.reduce((sum, { operations }) => sum + operations, 0),
    unanswered: reports.reduce((sum, { unanswered }) => sum + unanswered, 0),
    ...{ ok: count('ok'), illegal: count('illegal'), undecided: count('undecided') },
    ...(asksPorcupine && { disagreed: disagreed.length }),
  };
  say(JSON.stringify(summary));
  return summary.ok === reports.length && disagreed.length === 0 ? 0 : 1;
}
