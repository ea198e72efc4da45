import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type BootstrapMember,
  type BootstrapPeer,
  compareNames,
  decideBootstrap,
  strayPeers,
} from '../../src/raft/bootstrap.ts';

function member(name: string, fields: Partial<BootstrapMember> = {}): BootstrapMember {
  return {
    id: 1000 + Number(name),
    name,
    address: `host-${name}:50052`,
    clusterId: '',
    initialised: false,
    peers: ['1', '2', '3'],
    ...fields,
  };
}

function peer(
  name: string,
  fields: Partial<BootstrapMember> = {},
  given: string | undefined = name,
): BootstrapPeer {
  return { address: `host-${name}:50052`, name: given, answer: member(name, fields) };
}

const silent: BootstrapPeer = { address: 'host-3:50052', name: '3', answer: undefined };
const nobody: BootstrapPeer = {
  ...{ address: 'nobody.invalid:50052', name: undefined, answer: undefined },
};

const cases: readonly {
  readonly what: string;
  readonly self?: BootstrapMember;
  readonly peers: readonly BootstrapPeer[];
  readonly decision: string | RegExp;
}[] = [
  { what: 'alone', self: member('1', { peers: ['1'] }), peers: [], decision: 'found by 1: 1' },
  { what: 'all hold nothing', peers: [peer('2'), peer('3')], decision: 'found by 1: 1 2 3' },
  {
    what: 'all hold nothing, seen by another',
    self: member('3'),
    peers: [peer('2'), peer('1')],
    decision: 'found by 1: 1 2 3',
  },
  {
    what: 'numbers are ordered by value',
    self: member('10', { peers: ['9', '10'] }),
    peers: [peer('9', { peers: ['10', '9'] })],
    decision: 'found by 9: 9 10',
  },
  {
    what: 'names were not given',
    peers: [
      { ...peer('2'), name: undefined },
      { ...peer('3'), name: undefined },
    ],
    decision: 'found by 1: 1 2 3',
  },
  { what: 'one does not answer', peers: [peer('2'), silent], decision: /^wait: 3 at host-3:50052/ },
  {
    what: 'one is a member, another does not answer',
    peers: [peer('2', { initialised: true, clusterId: 'c' }), silent],
    decision: 'join c',
  },
  {
    what: 'one is a member that was started with other peers',
    peers: [peer('2', { initialised: true, clusterId: 'c', peers: ['2'] }), peer('3')],
    decision: 'join c',
  },
  {
    what: 'it holds something itself',
    self: member('1', { initialised: true, clusterId: 'c' }),
    peers: [peer('2'), peer('3')],
    decision: 'join c',
  },
  {
    what: 'to join, and all that answer hold nothing',
    peers: [peer('2'), peer('3'), nobody],
    decision:
      /^wait: this member is to join a cluster, as nobody\.invalid:50052 among its peers says/,
  },
  {
    what: 'to join, one does not answer and says why',
    peers: [peer('2'), { ...silent, why: 'its certificate is not trusted' }, nobody],
    decision:
      /^wait: .* belongs to one: 3 at host-3:50052 does not answer: its certificate is not trusted$/,
  },
  {
    what: 'to join, one is a member',
    peers: [peer('2', { initialised: true, clusterId: 'c' }), silent, nobody],
    decision: 'join c',
  },
  {
    what: 'two clusters',
    peers: [
      peer('2', { initialised: true, clusterId: 'c' }),
      peer('3', { initialised: true, clusterId: 'b' }),
    ],
    decision: /^wait: the peers belong to different clusters: b, c/,
  },
  {
    what: 'one waits for a cluster that does not answer',
    peers: [peer('2', { clusterId: 'c' }), peer('3')],
    decision: /^wait: member 2 waits for cluster c/,
  },
  {
    what: 'one was started with other peers',
    peers: [peer('2'), peer('3', { peers: ['1', '3'] })],
    decision: /^wait: member 3 was started with 1, 3, there are 1, 2, 3;/,
  },
  {
    what: 'one is to join',
    peers: [peer('2', { peers: ['1', '2', '3', 'nobody'] }), peer('3')],
    decision: /^wait: member 2 was started with 1, 2, 3, nobody, there are 1, 2, 3;/,
  },
  {
    what: 'one more is named than was asked',
    peers: [peer('2')],
    decision: /^wait: member 1 was started with 1, 2, 3, there are 1, 2;/,
  },
  {
    what: 'another answers than was named',
    peers: [peer('2', {}, '4'), peer('3')],
    decision: /^wait: host-2:50052 is member 2, not member 4/,
  },
  {
    what: 'two have one name',
    peers: [peer('2'), { ...peer('3', { name: '2' }), name: undefined }],
    decision: /^wait: members at host-2:50052 and host-3:50052 are both named 2/,
  },
  {
    what: 'two have one id',
    peers: [peer('2'), peer('3', { id: 1002 })],
    decision: /^wait: .* are both of id 1002/,
  },
];

for (const { what, self = member('1'), peers, decision } of cases) {
  test(`bootstrap: ${what}`, () => {
    const decided = decideBootstrap(self, peers);
    const text = {
      found: () =>
        decided.kind === 'found'
          ? `found by ${decided.proposer}: ${decided.members.map(({ name }) => name).join(' ')}`
          : '',
      join: () => (decided.kind === 'join' ? `join ${decided.clusterId}` : ''),
      wait: () => (decided.kind === 'wait' ? `wait: ${decided.why}` : ''),
    }[decided.kind]();
    if (typeof decision === 'string') assert.equal(text, decision);
    else assert.match(text, decision);
  });
}

test('whoever decides, at most one member founds', () => {
  const names = ['1', '2', '3'];
  const proposers = names.map((own) => {
    const peers = names.filter((name) => name !== own).map((name) => peer(name));
    const decided = decideBootstrap(member(own), peers);
    return decided.kind === 'found' ? decided.proposer : undefined;
  });
  assert.deepEqual(proposers, ['1', '1', '1']);
});

test('names have one order on every member', () => {
  const names = ['b', '10', 'a', '9', '010', 'A', '1'];
  const sorted = ['1', '9', '010', '10', 'A', 'a', 'b'];
  assert.deepEqual(names.toSorted(compareNames), sorted);
  assert.deepEqual(names.toReversed().toSorted(compareNames), sorted);
});

test('peers that are no members are named beside those that are', () => {
  const members = ['1', '2'].map((name, at) => ({ id: at + 1, name, address: `host-${name}:1` }));
  const at = (...addresses: string[]): string | undefined =>
    strayPeers(
      addresses.map((address) => ({ address })),
      members,
    );
  assert.equal(at('host-1:1', 'host-2:1'), undefined);
  assert.equal(at(), undefined);
  assert.equal(at('host-1:1', 'nobody.invalid:1'), undefined, 'who is nobody is not missing');
  assert.match(
    at('host-2:1', 'host-3:1', 'host-1:2') ?? '',
    /^--peers names host-3:1, host-1:2, where no member .* what is stored counts: 1 at host-1:1, 2 at host-2:1\./,
  );
  assert.equal(strayPeers([{ address: 'host-3:1' }], []), undefined, 'it belongs to no cluster');
});
