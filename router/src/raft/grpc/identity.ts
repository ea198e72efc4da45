// Who a member says it is, and whether that is who was expected. Members are not assumed to lie (Raft has no defence
// against that); what is told apart here is another cluster, another release, and a data directory that was replaced.

import { create } from '@bufbuild/protobuf';
import { EtlError } from '@etl-router/core';
import { type MemberIdentity, MemberIdentitySchema } from '@etl-router/proto/raft';
import type { ApiAddresses } from '../transport.ts';

/** Version of the messages that this release speaks. */
export const protocolVersion = 1;

/** Who a member is. */
export interface PeerIdentity {
  /** Empty while it belongs to none. */
  readonly clusterId: string;
  readonly id: number;
  readonly name: string;
  readonly address: string;
  /** Where clients reach it. Default: it does not say. */
  readonly api?: ApiAddresses;
}

/** Why a member was refused; also the labels of the counter. */
export type Refusal =
  | 'cluster'
  | 'protocolVersion'
  | 'raftId'
  | 'name'
  | 'certificate'
  | 'malformed'
  | 'sender'
  | 'receiver'
  | 'tooMany';

/** An error with the reason it is counted under. */
export class RefusedPeer extends EtlError {
  readonly refusal: Refusal;

  constructor(refusal: Refusal, message: string) {
    super(codes[refusal], message, { retryable: false, details: { refusal } });
    this.refusal = refusal;
  }
}

const codes = {
  cluster: 'ETL_PERMISSION_DENIED',
  protocolVersion: 'ETL_UNSUPPORTED',
  raftId: 'ETL_PERMISSION_DENIED',
  name: 'ETL_PERMISSION_DENIED',
  certificate: 'ETL_UNAUTHENTICATED',
  malformed: 'ETL_INVALID_ARGUMENT',
  sender: 'ETL_PERMISSION_DENIED',
  receiver: 'ETL_PERMISSION_DENIED',
  tooMany: 'ETL_LIMIT_EXCEEDED',
} as const;

export function encodeIdentity({
  clusterId,
  id,
  name,
  address,
  api = {},
}: PeerIdentity): MemberIdentity {
  return create(MemberIdentitySchema, {
    clusterId,
    raftId: BigInt(id),
    name,
    address,
    protocolVersion,
    grpcAddress: api.grpcAddress ?? '',
    httpAddress: api.httpAddress ?? '',
  });
}

/** Throws {@link RefusedPeer} for another protocol version and for what no member says. */
export function decodeIdentity(wire: MemberIdentity | undefined): PeerIdentity {
  if (wire === undefined) throw new RefusedPeer('malformed', 'from: who sends is not said');
  if (wire.protocolVersion !== protocolVersion) {
    throw new RefusedPeer(
      'protocolVersion',
      `member ${printable(wire.name)} speaks version ${wire.protocolVersion} of the members' protocol, this one speaks ${protocolVersion}; run releases that follow each other`,
    );
  }
  if (wire.raftId < 1n || wire.raftId > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new RefusedPeer('malformed', `from.raft_id: ${wire.raftId} is not 1 to 2^53 - 1`);
  }
  checkText(wire.name, 'from.name', 64);
  checkText(wire.address, 'from.address', 255);
  const { clusterId, name, address, grpcAddress, httpAddress } = wire;
  if (clusterId !== '') checkText(clusterId, 'from.cluster_id', 64);
  if (grpcAddress !== '') checkText(grpcAddress, 'from.grpc_address', 255);
  if (httpAddress !== '') checkText(httpAddress, 'from.http_address', 255);
  const api = {
    ...(grpcAddress !== '' && { grpcAddress }),
    ...(httpAddress !== '' && { httpAddress }),
  };
  return { clusterId, id: Number(wire.raftId), name, address, api };
}

/** Names as a greeting lists them. Throws {@link RefusedPeer}. */
export function checkNames(names: readonly string[]): readonly string[] {
  if (names.length > 9) throw new RefusedPeer('malformed', 'peers: names more than 9 members');
  for (const name of names) checkText(name, 'peers', 64);
  return names;
}

/** Throws {@link RefusedPeer} where it belongs to another cluster. */
export function checkCluster(peer: PeerIdentity, clusterId: string): void {
  if (peer.clusterId === clusterId) return;
  throw new RefusedPeer(
    'cluster',
    `member ${peer.name} (${peer.address}) belongs to cluster ${peer.clusterId || '(none)'}, this one to ${clusterId}; check the peers' addresses`,
  );
}

function checkText(text: string, field: string, maxBytes: number): void {
  if (/^[\x21-\x7e]+$/.test(text) && text.length <= maxBytes) return;
  throw new RefusedPeer(
    'malformed',
    `${field}: needs 1 to ${maxBytes} printable ASCII characters without spaces`,
  );
}

function printable(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
