// What the seeds went through. A set of runs that never saw a snapshot installed proves nothing about snapshots.

export class Coverage {
  events = 0;
  messages = 0;
  leaders = 0;
  snapshots = 0;
  installs = 0;
  joints = 0;
  changes = 0;
  transfers = 0;
  tornTails = 0;
  /** Entries replaced by those of another leader. */
  conflicts = 0;
  crashes = 0;
  outages = 0;
  partitions = 0;
  pauses = 0;
  stalls = 0;
  wipes = 0;
  /** Logs that were found damaged. */
  rots = 0;
  diskFailures = 0;
  writes = 0;
  repeats = 0;
  reads = 0;

  add(other: Coverage): void {
    for (const name of Object.keys(this) as CountName[]) this[name] += other[name];
  }

  /** What `seeds` seeds should have seen more of. */
  missing(seeds: number): readonly string[] {
    return Object.entries(perThousandSeeds).flatMap(([name, least]) => {
      const needed = Math.floor((least * seeds) / 1000);
      const count = this[name as CountName];
      return count < needed ? [`${name}: ${count} of ${needed}`] : [];
    });
  }
}

type CountName = Exclude<keyof Coverage, 'add' | 'missing'>;

const perThousandSeeds: { readonly [name in CountName]?: number } = {
  leaders: 2500,
  installs: 100,
  joints: 100,
  tornTails: 50,
  conflicts: 100,
  wipes: 50,
  rots: 30,
  diskFailures: 30,
  transfers: 100,
  repeats: 300,
  reads: 80_000,
  writes: 100_000,
};
