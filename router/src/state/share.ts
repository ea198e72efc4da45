// Divides the partitions of a consumer group among its members: evenly, always the same for the same input, and
// moving as few partitions as an even division allows.

/** A member and what it owns, or owned before. */
export interface Share {
  readonly memberId: string;
  readonly partitions: readonly string[];
}

/**
 * The new shares, sorted by member, each sorted. Every partition is owned once; no two members differ by more than
 * one; nobody gives up a partition that it could keep. With no members nobody owns anything.
 */
export function dividePartitions(
  partitions: readonly string[],
  members: readonly Share[],
): readonly Share[] {
  if (members.length === 0) return [];
  const free = new Set(partitions);
  const held = members.map(({ memberId, partitions: owned }) => ({
    memberId,
    kept: owned.filter((partition) => free.delete(partition)).sort(),
  }));
  const least = Math.floor(partitions.length / members.length);
  let larger = partitions.length % members.length;
  const byHolding = held.toSorted(
    (a, b) => b.kept.length - a.kept.length || (a.memberId < b.memberId ? -1 : 1),
  );
  const capacities = new Map<string, number>();
  for (const { memberId, kept } of byHolding) {
    capacities.set(memberId, larger > 0 ? least + 1 : least);
    larger -= 1;
    for (const partition of kept.splice(capacities.get(memberId) as number)) free.add(partition);
  }
  const pool = Array.from(free).sort();
  let next = 0;
  return held
    .toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1))
    .map(({ memberId, kept }) => {
      const missing = (capacities.get(memberId) as number) - kept.length;
      const more = pool.slice(next, next + missing);
      next += missing;
      return { memberId, partitions: [...kept, ...more].sort() };
    });
}
