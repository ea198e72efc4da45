// Where the clients of each member find it: what members tell each other in every greeting. Soft state, for people and
// clients that asked the wrong member; consensus never uses it.

import type { ApiAddresses, Contact, Peer } from '../transport.ts';
import type { PeerIdentity } from './identity.ts';

/** The contacts of the members of a cluster. */
export class Contacts {
  readonly #self: number;
  readonly #known = new Map<number, Contact>();
  #all: readonly Contact[] = [];

  constructor(self: number) {
    this.#self = self;
  }

  /** Where clients reach this member. */
  get own(): ApiAddresses {
    const { grpcAddress, httpAddress } = this.#known.get(this.#self) ?? {};
    return { grpcAddress, httpAddress };
  }

  set own(own: ApiAddresses) {
    this.learn({ id: this.#self, api: own });
  }

  /** What the members said, this one among them. */
  get all(): readonly Contact[] {
    return this.#all;
  }

  /** A member said who it is. What it does not say now it may have said before. */
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
    const ids = new Set([this.#self, ...peers.map(({ id }) => id)]);
    const gone = [...this.#known.keys()].filter((id) => !ids.has(id));
    if (gone.length === 0) return;
    for (const id of gone) this.#known.delete(id);
    this.#all = [...this.#known.values()];
  }
}
