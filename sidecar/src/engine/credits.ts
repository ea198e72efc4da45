// Who may read how much. Memory is bounded in records and bytes, per pipeline and for the process: a lane reads only
// what was granted, and a grant is reserved in every budget above it before it is given. Counters are absolute and
// only grow, so a repeated or late one does no harm. Lanes that wait are served in turn, by weight; one that has
// nothing in flight always gets the smallest grant, so that others' dead sinks can not starve it. Pure.

import { assert } from '@etl-router/core';

export interface CreditLimits {
  readonly maxRecords: number;
  readonly maxBytes: number;
}

/** The smallest grant: one record of about this size. A larger record is delivered all the same, and owed. */
const minGrant = { records: 1, bytes: 16 * 1024 };

/** Reserved amounts of one pipeline or of the process. */
export class Budget {
  readonly limits: CreditLimits;
  readonly parent: Budget | undefined;
  #records = 0;
  #bytes = 0;

  constructor(limits: CreditLimits, parent?: Budget) {
    this.limits = limits;
    this.parent = parent;
  }

  /** Reserved now, minimal grants and debts included. */
  get records(): number {
    return this.#records;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Records that may still be reserved, here and above; may be negative after debts. */
  get freeRecords(): number {
    const free = this.limits.maxRecords - this.#records;
    return this.parent === undefined ? free : Math.min(free, this.parent.freeRecords);
  }

  get freeBytes(): number {
    const free = this.limits.maxBytes - this.#bytes;
    return this.parent === undefined ? free : Math.min(free, this.parent.freeBytes);
  }

  /** Moves the reserved amounts here and above. Only lanes call it. */
  move(records: number, bytes: number): void {
    this.#records += records;
    this.#bytes += bytes;
    assert(this.#records >= 0 && this.#bytes >= 0, 'no more is given back than was reserved');
    this.parent?.move(records, bytes);
  }
}

/** What a lane may have read since it was opened. */
export interface Grant {
  readonly records: number;
  readonly bytes: number;
}

/** The credit of one lane. */
export class LaneCredit {
  readonly weight: number;
  readonly #budget: Budget;
  #grantedRecords = 0;
  #grantedBytes = 0;
  #readRecords = 0;
  #readBytes = 0;
  #releasedRecords = 0;
  #releasedBytes = 0;
  /** Turns it still has in this round. */
  turns: number;

  constructor(budget: Budget, weight = 1) {
    assert(Number.isInteger(weight) && weight >= 1, 'a weight is a whole number from 1');
    this.#budget = budget;
    this.weight = weight;
    this.turns = weight;
  }

  /** Absolute: all that was ever granted. */
  get granted(): Grant {
    return { records: this.#grantedRecords, bytes: this.#grantedBytes };
  }

  /** Granted and not read yet; bytes are below 0 after a record that was larger than its grant. */
  get available(): Grant {
    return {
      records: this.#grantedRecords - this.#readRecords,
      bytes: this.#grantedBytes - this.#readBytes,
    };
  }

  /** Read and not released. */
  get inFlight(): Grant {
    return {
      records: this.#readRecords - this.#releasedRecords,
      bytes: this.#readBytes - this.#releasedBytes,
    };
  }

  /** Raises the grant to what `want` asks for, as far as `share` of the budget and what is free allow. */
  grant(want: Grant, share: CreditLimits): boolean {
    const held = this.#held();
    const records = Math.min(
      want.records,
      share.maxRecords - held.records,
      this.#budget.freeRecords,
    );
    const bytes = Math.min(want.bytes, share.maxBytes - held.bytes, this.#budget.freeBytes);
    if (records >= minGrant.records && bytes >= Math.min(minGrant.bytes, want.bytes)) {
      this.#raise(records, bytes);
      return true;
    }
    if (held.records > 0 || held.bytes > 0) return false;
    this.#raise(minGrant.records, Math.min(minGrant.bytes, want.bytes));
    return true;
  }

  /** `records` of `bytes` were read; what passes the grant is owed and was not reserved before. */
  read(records: number, bytes: number): void {
    const { available } = this;
    assert(records <= available.records, 'no lane reads more records than it was granted');
    this.#readRecords += records;
    this.#readBytes += bytes;
    const owed = bytes - Math.max(0, available.bytes);
    if (owed > 0) {
      this.#grantedBytes += owed;
      this.#budget.move(0, owed);
    }
  }

  /** Gives back what was granted and not read. */
  returnUnread(): void {
    const { records, bytes } = this.available;
    this.#readRecords += records;
    this.#readBytes += bytes;
    this.release(records, bytes);
  }

  /** Charges what was made on the way beyond what was read, such as the output of a split. Never waits: it is owed. */
  charge(bytes: number): void {
    this.#grantedBytes += bytes;
    this.#readBytes += bytes;
    this.#budget.move(0, bytes);
  }

  /** What was read or charged left memory. */
  release(records: number, bytes: number): void {
    this.#releasedRecords += records;
    this.#releasedBytes += bytes;
    this.#budget.move(-records, -bytes);
  }

  /** Gives back all there is, whatever its state: the lane's buffers are gone. */
  close(): void {
    const { records, bytes } = this.#held();
    this.#readRecords = this.#releasedRecords = this.#grantedRecords;
    this.#readBytes = this.#releasedBytes = this.#grantedBytes;
    this.#budget.move(-records, -bytes);
  }

  #held(): Grant {
    return {
      records: this.#grantedRecords - this.#releasedRecords,
      bytes: this.#grantedBytes - this.#releasedBytes,
    };
  }

  #raise(records: number, bytes: number): void {
    this.#grantedRecords += records;
    this.#grantedBytes += bytes;
    this.#budget.move(records, bytes);
  }
}

/** A lane that waits, and what it waits for. */
export interface CreditRequest {
  readonly lane: LaneCredit;
  readonly want: Grant;
  /** The most the lane may hold; its part of the pipeline's limits. */
  readonly share: CreditLimits;
  readonly onGranted: () => void;
}

/** Lanes that wait for credit, in weighted round robin: a lane of weight 2 is served twice a round. */
export class CreditQueue {
  #waiting: CreditRequest[] = [];

  get length(): number {
    return this.#waiting.length;
  }

  add(request: CreditRequest): void {
    this.#waiting.push(request);
  }

  remove(request: CreditRequest): void {
    this.#waiting = this.#waiting.filter((entry) => entry !== request);
  }

  /** Serves everyone who can be served now, in turn. */
  serve(): void {
    if (this.#waiting.length === 0) return;
    if (this.#waiting.every(({ lane }) => lane.turns <= 0)) {
      for (const { lane } of this.#waiting) lane.turns = lane.weight;
    }
    const inTurn = this.#waiting.toSorted(
      (a, b) => Number(b.lane.turns > 0) - Number(a.lane.turns > 0),
    );
    const served: CreditRequest[] = [];
    this.#waiting = inTurn.filter((request) => {
      if (!request.lane.grant(request.want, request.share)) return true;
      request.lane.turns--;
      served.push(request);
      return false;
    });
    for (const request of served) request.onGranted();
  }
}
