import type { Scenario } from './scenario.ts';
export const membershipScenarios: readonly Scenario[] = [];
