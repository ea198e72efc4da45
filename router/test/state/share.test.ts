import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dividePartitions, type Share } from '../../src/state/share.ts';

const partitions = fc.uniqueArray(fc.nat(30).map(String), { maxLength: 20 });
const owners = fc.uniqueArray(
  fc.record({
    memberId: fc.nat(9).map((id) => `m${id}`),
    holds: fc.uniqueArray(fc.nat(30).map(String)),
  }),
  { selector: ({ memberId }) => memberId, maxLength: 6 },
);

/** Former owners as a group could have had them: nobody holds what another one holds. */
function toMembers(
  given: readonly { memberId: string; holds: readonly string[] }[],
): readonly Share[] {
  const taken = new Set<string>();
  return given.map(({ memberId, holds }) => ({
    memberId,
    partitions: holds.filter((partition) => !taken.has(partition) && taken.add(partition)),
  }));
}

test('every partition is owned once and no two members differ by more than one', () => {
  fc.assert(
    fc.property(partitions, owners, (all, given) => {
      const members = toMembers(given);
      const shares = dividePartitions(all, members);
      if (members.length === 0) return assert.deepEqual(shares, []);
      const sizes = shares.map((share) => share.partitions.length);
      assert(Math.max(...sizes) - Math.min(...sizes) <= 1);
      assert.deepEqual(shares.flatMap((share) => share.partitions).sort(), all.toSorted());
      assert.deepEqual(
        shares.map((share) => share.memberId),
        members.map((member) => member.memberId).sort(),
      );
    }),
  );
});

test('as many partitions stay where they are as an even division allows', () => {
  fc.assert(
    fc.property(partitions, owners, (all, given) => {
      const members = toMembers(given);
      if (members.length === 0) return;
      const kept = dividePartitions(all, members)
        .map((share) => {
          const before = members.find((member) => member.memberId === share.memberId);
          return share.partitions.filter((partition) => before?.partitions.includes(partition))
            .length;
        })
        .reduce((sum, count) => sum + count, 0);
      const held = members
        .map((member) => member.partitions.filter((partition) => all.includes(partition)).length)
        .sort((a, b) => b - a);
      const least = Math.floor(all.length / members.length);
      const larger = all.length % members.length;
      const possible = held.reduce(
        (sum, count, rank) => sum + Math.min(count, least + (rank < larger ? 1 : 0)),
        0,
      );
      assert.equal(kept, possible);
    }),
  );
});

test('the order of members and partitions does not matter', () => {
  fc.assert(
    fc.property(partitions, owners, (all, given) => {
      const members = toMembers(given);
      assert.deepEqual(
        dividePartitions(all.toReversed(), members.toReversed()),
        dividePartitions(all, members),
      );
    }),
  );
});
