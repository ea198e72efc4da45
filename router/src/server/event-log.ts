// The latest events, by revision, for watchers that come back. Watchers have no queue of their own: each reads on
// from where it is, and one that is too slow or too long away finds its place gone and begins anew. So any number of
// slow watchers costs one bounded history.

import { Bell } from './bell.ts';

/** Something that happened at a revision. */
export interface Revised {
  readonly revision: number;
}

/** The last events of one kind. */
export class EventLog<Event extends Revised> {
  readonly bell: Bell = new Bell();
  readonly #capacity: number;
  #events: Event[] = [];
  /** Events up to and including this revision may be gone. */
  #compacted: number;

  constructor(options: { readonly capacity: number; readonly startRevision: number }) {
    this.#capacity = options.capacity;
    this.#compacted = options.startRevision;
  }

  /** Adds an event; revisions never go down. */
  append(event: Event): void {
    this.#events.push(event);
    if (this.#events.length > this.#capacity * 2) this.#compact();
    this.bell.ring();
  }

  /** The events after a revision in order; undefined when some of them are no longer known. */
  after(revision: number): readonly Event[] | undefined {
    if (revision < this.#compacted) return undefined;
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#events[middle] as Event).revision > revision) high = middle;
      else low = middle + 1;
    }
    return this.#events.slice(low);
  }

  /** Forgets everything: whoever watches begins anew. */
  reset(revision: number): void {
    this.#events = [];
    this.#compacted = revision;
    this.bell.ring();
  }

  #compact(): void {
    const kept = this.#events.slice(-this.#capacity);
    this.#compacted = (this.#events[this.#events.length - kept.length - 1] as Event).revision;
    this.#events = kept.filter((event) => event.revision > this.#compacted);
  }
}
