// What happened to services, for those who watch: one bounded history that every stream reads at its own pace. Whoever
// has folded every answer up to a revision holds exactly what a list of that revision gives, also after it came back on
// another stream or at another member; where that can not be promised, the stream begins anew and says so.

import type { StoredGroup, StoredService } from '@etl-router/proto';
import { EventLog, type Revised } from './event-log.ts';
import { toCount } from './numbers.ts';
import { type RegisteredService, type ServiceFilter, selects } from './service-view.ts';
import type { StateHost } from './state-host.ts';

/** What happened to a service. `reset` and `synced` frame a list of all that match. */
export type ServiceEvent =
  | { readonly kind: 'reset' }
  | { readonly kind: 'synced' }
  | {
      readonly kind: 'added' | 'modified' | 'healthChanged' | 'partitionsChanged' | 'removed';
      readonly service: RegisteredService;
    };

/** Events that belong together. */
export interface ServiceEvents {
  /** Continue after it. */
  readonly revision: number;
  readonly events: readonly ServiceEvent[];
}

type Change = Extract<ServiceEvent, { service: RegisteredService }>;

interface Happened extends Revised {
  readonly change: Change;
  /** The service as it was just before; undefined: it was not there. */
  readonly before: RegisteredService | undefined;
}

/** Where the events come from. */
export interface WatchedServices {
  readonly host: StateHost;
  /** A row with its partitions, and with what this member heard of it. */
  readonly view: (row: StoredService) => RegisteredService;
  /** All that match, in order of their ids. */
  readonly list: (filter: ServiceFilter) => readonly RegisteredService[];
  /** Events kept for watchers that come back. */
  readonly historyEvents: number;
}

/** The changes of services. */
export class ServiceWatch {
  readonly #services: WatchedServices;
  readonly #history: EventLog<Happened>;
  readonly #known = new Map<string, RegisteredService>();
  readonly #groups = new Map<string, StoredGroup>();

  constructor(services: WatchedServices) {
    this.#services = services;
    const capacity = services.historyEvents;
    this.#history = new EventLog({ capacity, startRevision: this.#revision });
    this.#learnAll();
  }

  /** One entry changed the service. */
  changed(serviceId: string): void {
    const before = this.#known.get(serviceId);
    const row = this.#services.host.tables.services.get(serviceId);
    const after = row === undefined ? undefined : this.#services.view(row);
    if (after !== undefined) {
      this.#known.set(serviceId, after);
      this.#append({ kind: kindOf(before, after), service: after }, before);
    } else if (before !== undefined) {
      this.#known.delete(serviceId);
      this.#append({ kind: 'removed', service: before }, before);
    }
  }

  /** One entry changed the group: services among its members, of then or of now, may own other partitions. */
  groupChanged(groupId: string): void {
    const then = this.#groups.get(groupId);
    const now = this.#services.host.tables.groups.get(groupId);
    if (now === undefined) this.#groups.delete(groupId);
    else this.#groups.set(groupId, now);
    const members = new Set([...(then?.members ?? []), ...(now?.members ?? [])]);
    for (const memberId of new Set(Array.from(members, (member) => member.memberId))) {
      const before = this.#known.get(memberId);
      const row = this.#services.host.tables.services.get(memberId);
      if (before === undefined || row === undefined) continue;
      const service = this.#services.view(row);
      if (isSameList(before.partitions, service.partitions)) continue;
      this.#known.set(memberId, service);
      this.#append({ kind: 'partitionsChanged', service }, before);
    }
  }

  /** A snapshot took the place of the state. What happened in between is not known: all who watch begin anew. */
  replaced(): void {
    this.#known.clear();
    this.#groups.clear();
    this.#learnAll();
    this.#history.reset(this.#revision);
  }

  /** See {@link Registry.watch}. */
  async *watch(
    filter: ServiceFilter,
    options: { readonly afterRevision?: number; readonly signal: AbortSignal },
  ): AsyncGenerator<ServiceEvents, void, void> {
    const { signal } = options;
    let after = options.afterRevision;
    while (!signal.aborted) {
      const { rings } = this.#history.bell;
      const happened = after === undefined ? undefined : this.#after(after);
      if (happened === undefined) {
        const services = this.#services.list(filter);
        const events = services.map((service) => ({ kind: 'added', service }) as const);
        const opening: ServiceEvent[] = after === undefined ? [] : [{ kind: 'reset' }];
        after = this.#revision;
        yield { revision: after, events: [...opening, ...events, { kind: 'synced' }] };
      } else if (happened.length > 0) {
        after = (happened.at(-1) as Happened).revision;
        yield { revision: after, events: happened.flatMap((one) => seenThrough(filter, one)) };
      } else {
        await this.#history.bell.after(rings, signal);
      }
    }
  }

  get #revision(): number {
    return toCount(this.#services.host.tables.clock().revision);
  }

  /** Undefined also for a revision that is still to come: it is not of this cluster's history. */
  #after(revision: number): readonly Happened[] | undefined {
    return revision > this.#revision ? undefined : this.#history.after(revision);
  }

  #append(change: Change, before: RegisteredService | undefined): void {
    this.#history.append({ revision: this.#revision, change, before });
  }

  #learnAll(): void {
    const { services, groups } = this.#services.host.tables;
    for (const key of groups.keys()) this.#groups.set(key, groups.get(key) as StoredGroup);
    for (const row of services.rows()) {
      const service = this.#services.view(row);
      this.#known.set(service.serviceId, service);
    }
  }
}

function kindOf(before: RegisteredService | undefined, after: RegisteredService): Change['kind'] {
  if (before?.registrationId !== after.registrationId) return 'added';
  return before.health === after.health ? 'modified' : 'healthChanged';
}

/** The event as a watcher of some services sees it: those that begin to match are added, those that cease removed. */
function seenThrough(filter: ServiceFilter, { change, before }: Happened): readonly ServiceEvent[] {
  const { kind, service } = change;
  const isKnown = before !== undefined && selects(filter, before);
  if (kind !== 'removed' && selects(filter, service))
    return [isKnown ? change : { kind: 'added', service }];
  return isKnown ? [{ kind: 'removed', service }] : [];
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, at) => item === b[at]);
}
