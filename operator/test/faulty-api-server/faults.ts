// What the pretend API server does wrong, and to whom: a list of rules, each for so many requests.

/** A request, as rules see it. */
export interface SeenRequest {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';
  readonly method: string;
  /** Path without its query. */
  readonly path: string;
  /** The kind, as in `statefulsets`. */
  readonly plural: string;
  readonly query: URLSearchParams;
}

/** What goes wrong. */
export type Fault =
  /** The connection is reset before anything happens. */
  | { readonly do: 'reset' }
  /** The request is carried out, and the connection reset instead of the answer. */
  | { readonly do: 'reset-after' }
  /** The request is taken and never answered; nothing happens. */
  | { readonly do: 'hang' }
  /** A watch that began, then says nothing more and does not end. */
  | { readonly do: 'half-open' }
  | {
      readonly do: 'status';
      readonly status: number;
      readonly retryAfterSeconds?: number;
      readonly reason?: string;
    }
  /** The answer waits for the promise. */
  | { readonly do: 'hold'; readonly until: Promise<unknown> }
  /** A watch that is reset after so many events, in the middle of the next one. */
  | { readonly do: 'cut'; readonly afterEvents: number }
  /** A watch that tells an error in its stream after so many events. */
  | { readonly do: 'stream-error'; readonly status: number; readonly afterEvents: number };

/** Which requests. Everything that is left out fits. */
export interface FaultMatch {
  readonly verb?: SeenRequest['verb'] | readonly SeenRequest['verb'][];
  readonly plural?: string;
  readonly path?: RegExp;
}

interface Rule {
  readonly match: FaultMatch;
  readonly fault: Fault;
  left: number;
}

/** The rules in force, the oldest first. */
export class FaultScript {
  readonly #rules: Rule[] = [];

  /** From now on `times` requests that fit go wrong; the result ends it. */
  add(match: FaultMatch, fault: Fault, times: number = Number.POSITIVE_INFINITY): () => void {
    const rule = { match, fault, left: times };
    this.#rules.push(rule);
    return () => {
      rule.left = 0;
    };
  }

  clear(): void {
    this.#rules.length = 0;
  }

  /** What is to go wrong with this request; counts it. */
  next(request: SeenRequest): Fault | undefined {
    const rule = this.#rules.find(({ match, left }) => left > 0 && fits(match, request));
    if (rule === undefined) return undefined;
    rule.left -= 1;
    return rule.fault;
  }
}

function fits(match: FaultMatch, request: SeenRequest): boolean {
  const { verb, plural, path } = match;
  return (
    (verb === undefined || [verb].flat().includes(request.verb)) &&
    (plural === undefined || plural === request.plural) &&
    (path === undefined || path.test(request.path))
  );
}
