// What the clients of a run asked and were told, checked as a history of any cluster is: an oracle that knows nothing
// of logs, entries and members.

import type { CommandResult } from '@etl-router/proto';
import { type Answer, answerOf, type Request } from '../linearizability/answers.ts';
import { checkHistory } from '../linearizability/check-history.ts';
import { describeReport } from '../linearizability/describe.ts';
import type { Operation } from '../linearizability/operations.ts';
import { HistoryRecorder } from '../linearizability/recorder.ts';

/** A write under way. One that is never told anything stays one of unknown outcome. */
export interface AskedWrite {
  told(answer: CommandResult): void;
}

/** A read under way; it may be of several keys at once. */
export interface AskedRead {
  told(answers: readonly Answer[]): void;
}

const maxSteps = 5_000_000;

export class History {
  readonly #recorder: HistoryRecorder;

  constructor(nowMs: () => number) {
    this.#recorder = new HistoryRecorder(() => nowMs() * 1e6);
  }

  get operations(): readonly Operation[] {
    return this.#recorder.history();
  }

  /** Before the first attempt of a write; whatever is repeated under its id is part of it. */
  write(client: number, request: Request): AskedWrite {
    const asked = this.#recorder.invoke(client, request.op, request.in);
    return { told: (answer) => asked.answered(answerOf(request, answer)) };
  }

  /** Before the first attempt of a read. */
  read(client: number, requests: readonly Request[]): AskedRead {
    const asked = requests.map((request) => {
      return this.#recorder.invoke(client, request.op, request.in);
    });
    return {
      told: (answers) => {
        for (const [at, one] of asked.entries()) one.answered(answers[at] as Answer);
      },
    };
  }

  /** Why the history is not linearizable, in lines; undefined when it is. */
  complaint(): string | undefined {
    const report = checkHistory(this.operations, { maxSteps });
    return report.verdict === 'ok' ? undefined : describeReport(report).join('\n');
  }
}
