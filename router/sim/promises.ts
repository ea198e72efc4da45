// What a member told others about its disk: votes and entries. At the moment it is told it must be in what a power
// failure would leave (I11), and every later start has to find it again.

import type { Message } from '../src/raft/messages.ts';
import type { LogReader } from '../src/storage/log-types.ts';
import type { MemoryDisk } from '../src/storage/memory-disk.ts';
import { recoverLog } from '../src/storage/recover.ts';
import { check } from './violation.ts';

/** Where the log of a member is. */
export interface LogPlace {
  readonly directory: string;
  readonly clusterId: string;
  readonly logId: number;
}

export class Promises {
  readonly #place: LogPlace;
  /** Over all processes of the member. */
  #granted = { term: 0, to: 0 };
  #attested = { term: 0, index: 0, entryTerm: 0 };

  constructor(place: LogPlace) {
    this.#place = place;
  }

  /** Notes what a message promises. Returns whether there is a reason to look at the disk. */
  note(message: Message, log: LogReader): 'vote' | 'entry' | undefined {
    const { term, to, type } = message;
    if (type === 'requestVoteReply' && message.granted && !message.preVote) {
      this.#granted = { term, to };
      return 'vote';
    }
    if (type !== 'appendEntriesReply' || message.rejected || message.index === 0) return undefined;
    // What was taken in a term that is over may be replaced by now.
    if (log.hardState.term !== term) return undefined;
    const { index } = message;
    const entryTerm = log.term(index);
    const isFurther = term > this.#attested.term || index >= this.#attested.index;
    // Of what a snapshot took over meanwhile the log says no term any more.
    if (isFurther && entryTerm !== undefined) this.#attested = { term, index, entryTerm };
    return 'entry';
  }

  /** A log that was read back keeps them. */
  checkRecovered({ hardState, compacted, lastIndex }: LogReader, termAt: LogReader['term']): void {
    const { term, vote } = hardState;
    const id = this.#place.logId;
    const [granted, attested] = [this.#granted, this.#attested];
    const isVoteKept = term > granted.term || (term === granted.term && vote === granted.to);
    check(
      'Recovery',
      granted.term === 0 || isVoteKept,
      () => `member ${id} forgot its vote for ${granted.to} in term ${granted.term}`,
    );
    check('Recovery', term >= attested.term, () => `member ${id} forgot term ${attested.term}`);
    if (term !== attested.term || attested.index <= compacted.index) return;
    check(
      'Recovery',
      lastIndex >= attested.index && termAt(attested.index) === attested.entryTerm,
      () => `member ${id} forgot entry ${attested.index} that it said to have`,
    );
  }

  /** Reads what a power failure would leave now, and looks for what the message promises. */
  async checkDisk(message: Message, log: LogReader, disk: MemoryDisk): Promise<void> {
    const id = this.#place.logId;
    const entryTerm = message.type === 'appendEntriesReply' ? log.term(message.index) : undefined;
    const { view } = await recoverLog({ ...this.#place, disk: disk.durableCopy() });
    const { term, vote } = view.hardState;
    if (message.type === 'requestVoteReply') {
      const isKept = term > message.term || (term === message.term && vote === message.to);
      check('Promises', isKept, () => `the vote of member ${id} for ${message.to} is not durable`);
    } else if (message.type === 'appendEntriesReply') {
      const { index } = message;
      const isThere =
        entryTerm === undefined ? index <= view.lastIndex : view.term(index) === entryTerm;
      const isKept = index <= view.compacted.index || isThere;
      check(
        'Promises',
        term >= message.term && isKept,
        () => `entry ${index} that member ${id} says to have is not durable`,
      );
    }
  }
}
