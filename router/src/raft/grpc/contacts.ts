// Where the clients of each member find it: what members tell each other in every greeting. Soft state, for people and
// clients that asked the wrong member; consensus never uses it.

import type { Peer } from '../transport.ts';
import type { PeerIdentity } from './identity.ts';

/** Where clients reach a member, `host:port` each; undefined: it has not said. */
export interface ApiAddresses {
  readonly grpcAddress?: string | undefined;
  readonly httpAddress?: string | undefined;
}

export interface Contact extends ApiAddresses {
  readonly id: number;
}

/** The contacts of the members of a cluster. */
export class Contacts {
  readonly #known = new Map<number, Contact>();
  #own: ApiAddresses = {};
  #all: readonly Contact[] = [];

  /** Where clients reach this member. */
  get own(): ApiAddresses {
    return this.#own;
  }

  set own(own: ApiAddresses) {
    this.#own = own;
  }

  /** What the other members said. */
  get all(): readonly Contact[] {
    return this.#all;
  }

  /** A member said who it is. What it does not say now it may have said to this one before. */
  learn({ id, api = {} }: Pick<PeerIdentity, 'id' | 'api'>): void {
    const known = this.#known.get(id);
    const grpcAddress = api.grpcAddress ?? known?.grpcAddress;
    const httpAddress = api.httpAddress ?? known?.httpAddress;
    if (known?.grpcAddress === grpcAddress && known?.httpAddress === httpAddress) return;
    this.#known.set(id, { id, grpcAddress, httpAddress });
    this.#all = [...this.#known.values()];
  }

  /** Forgets who does not belong to the cluster any more. */
  keep(peers: readonly Pick<Peer, 'id'>[]): void {
    const ids = new Set(peers.map(({ id }) => id));
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
    this.#all = [...this.#known.values()];
  }
}
