// For tests of this package and of those above it: the slow twins that fast paths are compared with.

export { interpretCondition } from './expression/condition.ts';
