// What is asked of members, and which of their answers count.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ManualClock } from '@etl-router/core';
import type { EtlRouterCluster } from '@etl-router/crds';
import { GetClusterStatusResponseSchema } from '@etl-router/proto/admin';
import { Observer, type ObserverOptions } from '../../src/cluster/observe.ts';
import type { MemberAddress } from '../../src/router-client.ts';

const cluster = { metadata: { name: 'main', namespace: 'shop' } } as EtlRouterCluster;
const credentials = { authorities: '', certificate: '', key: '' };

/** An observer whose members answer by the name that is known at their address. */
function observerOf(names: { readonly [address: string]: string }): Observer {
  const clock = new ManualClock(0);
  const askAll = async (
    _cluster: string,
    _credentials: unknown,
    { members }: { readonly members: readonly MemberAddress[] },
  ) =>
    await Promise.resolve(
      members.map((member) => ({
        member,
        value: create(GetClusterStatusResponseSchema, { name: names[member.address] ?? '' }),
        atMs: 0,
      })),
    );
  return new Observer({ clock, routers: { askAll } } as unknown as ObserverOptions);
}

function addressAt(ordinal: number, address: string): MemberAddress {
  const serverName = `main-${ordinal}.main-peers.shop.svc`;
  return { ordinal, podUid: `uid-${ordinal}`, address, serverName, isReady: true };
}

test('a router that is asked at its own address and at one that it took over has one word', async () => {
  const observer = observerOf({ a: '1', b: '2', c: '2' });
  const addresses = [addressAt(1, 'a'), addressAt(2, 'b'), addressAt(3, 'c')];
  const words = await observer.words(
    cluster,
    { pods: [], claims: [], addresses },
    { credentials, signal: new AbortController().signal },
  );
  assert.deepEqual(
    words.map(({ ordinal }) => ordinal),
    [1, 2],
  );
});
