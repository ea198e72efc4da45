// Messages of the core to those of proto/etl/raft/v1 and back. What comes from another member is refused where a number
// would be rounded or a list is longer than the proto file says; whether it makes sense is not judged here.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { EtlError, unreachable } from '@etl-router/core';
import {
  type RaftMessage,
  RaftMessageSchema,
  type AppendEntries as WireAppendEntries,
  type Entry as WireEntry,
  EntryType as WireEntryType,
} from '@etl-router/proto/raft';
import { type Entry, maxEntryBytes } from '../../storage/log-types.ts';
import { maxAppendEntries } from '../check-message.ts';
import type { AppendEntries, Message, MessageBody } from '../messages.ts';

/** The wire form; the bytes of entries are shared with it. A snapshot has a stream of its own and no wire form. */
export function encodeRaftMessage(message: Message): RaftMessage {
  const { from, to, term } = message;
  return create(RaftMessageSchema, {
    from: BigInt(from),
    to: BigInt(to),
    term: BigInt(term),
    body: encodeBody(message),
  });
}

type WireBody = NonNullable<MessageInitShape<typeof RaftMessageSchema>['body']>;

function encodeBody(body: MessageBody): WireBody {
  switch (body.type) {
    case 'requestVote': {
      const { preVote, lastIndex, lastTerm, transfer } = body;
      return {
        case: 'requestVote',
        value: {
          preVote,
          lastLogIndex: BigInt(lastIndex),
          lastLogTerm: BigInt(lastTerm),
          transfer,
        },
      };
    }
    case 'requestVoteReply':
      return {
        case: 'requestVoteReply',
        value: { preVote: body.preVote, granted: body.granted },
      };
    case 'appendEntries':
      return { case: 'appendEntries', value: encodeAppend(body) };
    case 'appendEntriesReply':
      return {
        case: 'appendEntriesReply',
        value: {
          rejected: body.rejected,
          index: BigInt(body.index),
          hintIndex: BigInt(body.hintIndex),
          hintTerm: BigInt(body.hintTerm),
        },
      };
    case 'heartbeat':
      return {
        case: 'heartbeat',
        value: { commitIndex: BigInt(body.commitIndex), readContext: BigInt(body.readContext) },
      };
    case 'heartbeatReply':
      return { case: 'heartbeatReply', value: { readContext: BigInt(body.readContext) } };
    case 'timeoutNow':
      return { case: 'timeoutNow', value: {} };
    case 'readIndex':
      return { case: 'readIndex', value: { context: BigInt(body.context) } };
    case 'readIndexReply':
      return {
        case: 'readIndexReply',
        value: { context: BigInt(body.context), index: BigInt(body.index) },
      };
    case 'installSnapshot':
      throw new EtlError('ETL_INTERNAL', 'a snapshot is no message of the stream');
    default:
      return unreachable(body);
  }
}

function encodeAppend(
  body: AppendEntries,
): Extract<WireBody, { readonly case: 'appendEntries' }>['value'] {
  return {
    previousIndex: BigInt(body.previousIndex),
    previousTerm: BigInt(body.previousTerm),
    commitIndex: BigInt(body.commitIndex),
    entries: body.entries.map(({ index, term, type, data }) => ({
      index: BigInt(index),
      term: BigInt(term),
      type: type === 'normal' ? WireEntryType.NORMAL : WireEntryType.CONFIGURATION,
      data: data as Uint8Array<ArrayBuffer>,
    })),
  };
}

/**
 * The message of a wire form; the bytes of entries are shared with it. Undefined for the word on a snapshot, which the
 * answer of its stream says too. Throws ETL_INVALID_ARGUMENT that names the field.
 */
export function decodeRaftMessage(wire: RaftMessage): Message | undefined {
  const body = decodeBody(wire);
  if (body === undefined) return undefined;
  return {
    from: toNumber(wire.from, 'from'),
    to: toNumber(wire.to, 'to'),
    term: toNumber(wire.term, 'term'),
    ...body,
  };
}

function decodeBody({ body }: RaftMessage): MessageBody | undefined {
  switch (body.case) {
    case 'requestVote':
      return {
        type: 'requestVote',
        preVote: body.value.preVote,
        lastIndex: toNumber(body.value.lastLogIndex, 'request_vote.last_log_index'),
        lastTerm: toNumber(body.value.lastLogTerm, 'request_vote.last_log_term'),
        transfer: body.value.transfer,
      };
    case 'requestVoteReply':
      return {
        type: 'requestVoteReply',
        preVote: body.value.preVote,
        granted: body.value.granted,
      };
    case 'appendEntries':
      return decodeAppend(body.value);
    case 'appendEntriesReply':
      return {
        type: 'appendEntriesReply',
        rejected: body.value.rejected,
        index: toNumber(body.value.index, 'append_entries_reply.index'),
        hintIndex: toNumber(body.value.hintIndex, 'append_entries_reply.hint_index'),
        hintTerm: toNumber(body.value.hintTerm, 'append_entries_reply.hint_term'),
      };
    case 'heartbeat':
      return {
        type: 'heartbeat',
        commitIndex: toNumber(body.value.commitIndex, 'heartbeat.commit_index'),
        readContext: toNumber(body.value.readContext, 'heartbeat.read_context'),
      };
    case 'heartbeatReply':
      return {
        type: 'heartbeatReply',
        readContext: toNumber(body.value.readContext, 'heartbeat_reply.read_context'),
      };
    case 'timeoutNow':
      return { type: 'timeoutNow' };
    case 'readIndex':
      return { type: 'readIndex', context: toNumber(body.value.context, 'read_index.context') };
    case 'readIndexReply':
      return {
        type: 'readIndexReply',
        context: toNumber(body.value.context, 'read_index_reply.context'),
        index: toNumber(body.value.index, 'read_index_reply.index'),
      };
    case 'snapshotStatus':
      return undefined;
    case undefined:
      throw invalid('body', 'is missing or of an unknown kind');
    default:
      return unreachable(body);
  }
}

function decodeAppend(value: WireAppendEntries): AppendEntries {
  if (value.entries.length > maxAppendEntries) {
    const count = value.entries.length;
    throw invalid('append_entries.entries', `has ${count} items, at most ${maxAppendEntries}`);
  }
  return {
    type: 'appendEntries',
    previousIndex: toNumber(value.previousIndex, 'append_entries.previous_index'),
    previousTerm: toNumber(value.previousTerm, 'append_entries.previous_term'),
    entries: value.entries.map(decodeEntry),
    commitIndex: toNumber(value.commitIndex, 'append_entries.commit_index'),
  };
}

function decodeEntry(entry: WireEntry): Entry {
  const { type, data } = entry;
  if (type !== WireEntryType.NORMAL && type !== WireEntryType.CONFIGURATION) {
    throw invalid('append_entries.entries.type', `is ${type}, which is unknown`);
  }
  if (data.length > maxEntryBytes) {
    throw invalid(
      'append_entries.entries.data',
      `has ${data.length} bytes, at most ${maxEntryBytes}`,
    );
  }
  return {
    index: toNumber(entry.index, 'append_entries.entries.index'),
    term: toNumber(entry.term, 'append_entries.entries.term'),
    type: type === WireEntryType.NORMAL ? 'normal' : 'configuration',
    data,
  };
}

/** A 64-bit number. Throws ETL_INVALID_ARGUMENT, naming `field`, beyond 2^53 - 1. */
export function toNumber(value: bigint, field: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw invalid(field, `is ${value}, at most 2^53 - 1`);
  }
  return Number(value);
}

function invalid(field: string, why: string): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', `raft message: ${field} ${why}`, {
    details: { field },
  });
}
