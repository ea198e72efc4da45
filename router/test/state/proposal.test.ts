import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ProposalSchema } from '@etl-router/proto';
import { commandVersion, encodeProposal, restampProposal } from '../../src/state/proposal.ts';

test('a proposal of another member gets the time of who takes it, and stays the request it was', () => {
  const request = { sessionId: 's', requestId: 'r' };
  const stamps = { proposedAtNs: 10n ** 30n / 10n ** 12n, uid: 'u', request };
  const theirs = encodeProposal({ case: 'noop', value: {} }, stamps);
  const ours = fromBinary(ProposalSchema, restampProposal(theirs, 7n));
  assert.deepEqual(ours, { ...fromBinary(ProposalSchema, theirs), proposedAtNs: 7n });
});

test('what is no proposal, or one of a later release, is refused before it is in the log', () => {
  assert.throws(() => restampProposal(Buffer.from('no proposal'), 7n), {
    code: 'ETL_INVALID_ARGUMENT',
  });
  const later = toBinary(ProposalSchema, create(ProposalSchema, { version: commandVersion + 1 }));
  assert.throws(() => restampProposal(later, 7n), { code: 'ETL_UNSUPPORTED' });
});
