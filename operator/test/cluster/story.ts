// A cluster of the model that is led through one story by a test: the world goes on step by step, the operator acts, and
// what it did and said is asked for.

import assert from 'node:assert/strict';
import { seededRandom } from '@etl-router/core';
import { admit } from '../../../crds/test/support/admission.ts';
import { kindOf } from '../../../crds/test/support/open-api.ts';
import { conditionReasons } from '../../src/cluster/conditions.ts';
import { type Plan, plan } from '../../src/cluster/plan.ts';
import { noTrouble, Operator } from './operator.ts';
import { isReady } from './ready.ts';
import { World } from './world.ts';

/** How these clusters are updated where a story does not say it. */
export const update = { strategy: 'automatic', memberReadyTimeout: '10m' } as const;

export class Story {
  readonly world: World;
  readonly operator: Operator;
  /** Pods by the ids of their disks, also of those that are gone. */
  readonly #names = new Map<string, string>();

  constructor(replicas: number, extra: { readonly [field: string]: unknown } = {}) {
    this.world = new World(seededRandom(7), { replicas, version: 'v1', update, ...extra });
    this.operator = new Operator(this.world, (view) => this.#checked(plan(view)));
  }

  get plan(): Plan {
    return this.operator.lastPlan as Plan;
  }

  /** What was tried since the last time this was asked, as `kind target`. */
  takeActs(): readonly string[] {
    const tried = this.operator.log.splice(0).filter((line) => line.includes('{'));
    const acts = tried.map((line) => line.slice(line.indexOf('{')));
    return acts.map((line) => {
      const { kind, name, replicas, raftId, toRaftId } = JSON.parse(line) as {
        readonly [field: string]: string;
      };
      const id = raftId ?? toRaftId;
      return `${kind} ${kind === 'addLearner' ? name : (this.#nameOf(id) ?? name ?? replicas)}`;
    });
  }

  pass(steps: number): this {
    for (let step = 0; step < steps; step++) {
      this.world.tick();
      this.#remember();
      this.operator.run(noTrouble);
    }
    return this;
  }

  #remember(): void {
    for (const { ordinal, claim } of this.world.pods.values())
      this.#names.set(claim.disk.raftId, `main-${ordinal}`);
  }

  untilReady(): this {
    for (let step = 0; step < 400; step++) {
      this.pass(1);
      if (isReady(this.world, this.operator)) return this;
    }
    throw new Error(JSON.stringify(this.plan.conditions));
  }

  says(type: string): string {
    const found = this.plan.conditions.find((condition) => condition.type === type);
    return `${found?.status} ${found?.reason}`;
  }

  #nameOf(raftId: string | undefined): string | undefined {
    return raftId === undefined ? undefined : (this.#names.get(raftId) ?? raftId);
  }

  /** Reasons are of the closed lists, and an API server takes the status, whatever happens. */
  #checked(made: Plan): Plan {
    for (const { type, reason } of made.conditions) {
      const known: readonly string[] = conditionReasons[type as keyof typeof conditionReasons];
      assert.ok(known.includes(reason), `${type} ${reason}`);
    }
    const { problems } = admit(kindOf('EtlRouterCluster'), {
      ...this.world.cluster,
      spec: {},
      status: made.status,
    });
    assert.deepEqual(problems, []);
    return made;
  }
}
