// All scenarios, in the order in which runs take their turns.

import { diskScenarios } from './disk-scenarios.ts';
import { membershipScenarios } from './membership-scenarios.ts';
import { networkScenarios } from './network-scenarios.ts';
import { processScenarios } from './process-scenarios.ts';
import type { Scenario } from './scenario.ts';
import { stateScenarios } from './state-scenarios.ts';

export const scenarios: readonly Scenario[] = [
  ...processScenarios,
  ...networkScenarios,
  ...diskScenarios,
  ...membershipScenarios,
  ...stateScenarios,
];
