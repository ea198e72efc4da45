// Named places where a crash is worth a test. The crash harness injects an object that ends the process at the n-th
// hit of a name; everybody else pays one empty call.

/** Every place that can be named, in the order of a record's way. */
export const failpointNames = [
  'lane.open.after',
  'source.read.after',
  'sink.write.before',
  'sink.write.after',
  'spill.append.after',
  'spill.release.after',
  'dead-letter.append.after',
  'dead-letter.remove.before',
  'position.commit.before',
  'position.commit.after',
  'source.acknowledge.after',
  'sink.complete.after',
] as const;
export type FailpointName = (typeof failpointNames)[number];

export interface Failpoints {
  /** Called whenever the place is passed. May throw or end the process; must not wait. */
  hit(name: FailpointName): void;
}

export const noFailpoints: Failpoints = { hit: () => {} };
