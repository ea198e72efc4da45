// What the seeds went through. A set of runs that never saw a snapshot installed proves nothing about snapshots.

/** Everything that is counted. */
export const countNames = [
  'events',
  'messages',
  'proposals forwarded',
  'leaders',
  'leaders under load',
  'snapshots',
  'installs',
  'joints',
  'changes',
  'transfers',
  'tornTails',
  'conflicts',
  'crashes',
  'outages',
  'restarts',
  'partitions',
  'depositions',
  'pauses',
  'stalls',
  'wipes',
  'rejoins',
  'rots',
  'diskFailures',
  'writes',
  'repeats',
  'refusals',
  'reads',
  'sessions',
  'sessions lost',
  'epochs',
  'positions',
] as const;

export type CountName = (typeof countNames)[number];
export type Counts = { readonly [name in CountName]: number };

/** What a thousand seeds have to go through. */
const perThousandSeeds: Partial<Counts> = {
  'leaders under load': 300,
  installs: 100,
  joints: 100,
  tornTails: 50,
  conflicts: 100,
  wipes: 30,
  rots: 15,
  diskFailures: 30,
  transfers: 100,
  repeats: 300,
  reads: 50_000,
  writes: 50_000,
  epochs: 1000,
  positions: 3000,
};

/** Seeds in a hundred that have to go through it. */
const leastShare = 1;

export class Coverage {
  seeds = 0;
  /** How often it happened. */
  readonly counts: { [name in CountName]: number } = zeros();
  /** In how many seeds it happened. */
  readonly hits: { [name in CountName]: number } = zeros();

  /** Of stored numbers. */
  static from(stored: {
    readonly seeds: number;
    readonly counts: Partial<Counts>;
    readonly hits: Partial<Counts>;
  }): Coverage {
    const coverage = new Coverage();
    coverage.seeds = stored.seeds;
    Object.assign(coverage.counts, stored.counts);
    Object.assign(coverage.hits, stored.hits);
    return coverage;
  }

  /** Of what one seed went through. */
  static of(counts: Counts): Coverage {
    const coverage = new Coverage();
    Object.assign(coverage.counts, counts);
    return coverage;
  }

  note(name: CountName, by = 1): void {
    this.counts[name] += by;
  }

  /** Adds one seed's, or those of many. */
  add(other: Coverage): void {
    const isOne = other.seeds === 0;
    this.seeds += isOne ? 1 : other.seeds;
    for (const name of countNames) {
      this.counts[name] += other.counts[name];
      this.hits[name] += isOne ? Number(other.counts[name] > 0) : other.hits[name];
    }
  }

  /** What so many seeds should have seen more of. */
  get missing(): readonly string[] {
    const { seeds } = this;
    return countNames.flatMap((name) => {
      const needed = Math.floor(((perThousandSeeds[name] ?? 0) * seeds) / 1000);
      const hitsNeeded = Math.floor((leastShare * seeds) / 100);
      const [count, hits] = [this.counts[name], this.hits[name]];
      return [
        ...(count < needed ? [`${name}: ${count}, at least ${needed} are needed`] : []),
        ...(hits < hitsNeeded ? [`${name}: in ${hits} seeds, ${hitsNeeded} are needed`] : []),
      ];
    });
  }
}

function zeros(): { [name in CountName]: number } {
  return Object.fromEntries(countNames.map((name) => [name, 0])) as { [name in CountName]: number };
}
