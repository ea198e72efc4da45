// The router's replicated state machine. Its state is a function of the log alone: the same entries give the same rows
// and the same answers, byte for byte, on every member and at every replay, from the beginning or from any snapshot
// (docs/specs/0004-state-machine.md). It must never read a clock, draw a number, do input or output, or wait.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { EtlError, isEtlError } from '@etl-router/core';
import {
  type Command,
  type CommandResult,
  CommandResultSchema,
  CommandSchema,
  type Proposal,
  ProposalSchema,
  StoredMetaSchema,
} from '@etl-router/proto';
import { dispatch } from './dispatch.ts';
import { encodeResult } from './hot-messages.ts';
import { maxProposalBytes } from './limits.ts';
import { checkBytes, checkOptionalId, invalid } from './names.ts';
import { commandVersion } from './proposal.ts';
import { type Outcome, toRefusal } from './refusal.ts';
import { earlierAnswer, keepAnswer } from './sessions.ts';
import type { Change, ManyChanges, Touched } from './table.ts';
import { Context, metaKey, type Note, Tables } from './tables.ts';

/** What one entry did. */
export interface Applied {
  /** A serialised CommandResult. */
  readonly result: Uint8Array;
  /** Rows to write to the applied store, in one batch with the entry's index. */
  readonly changes: readonly (Change | ManyChanges)[];
  /** The same rows, for those who watch. */
  readonly touched: readonly Touched[];
  /** What the entry says to those who keep the rows. */
  readonly note?: Note | undefined;
}

/** One row as stored. */
export type StoredRow = readonly [key: Uint8Array, value: Uint8Array];

/** The state and the one way to change it. */
export class StateMachine {
  /** The rows, to be read by anyone and changed by {@link StateMachine.apply} alone. */
  readonly tables: Tables = new Tables();

  /** The machine with the rows of an applied store or a snapshot. Throws ETL_STORAGE_CORRUPT for unknown rows. */
  static load(rows: Iterable<StoredRow>): StateMachine {
    const machine = new StateMachine();
    const byTag = new Map(machine.tables.all.map((table) => [table.tag, table]));
    for (const [key, value] of rows) {
      const text = Buffer.from(key.buffer, key.byteOffset, key.length).toString('utf8');
      const table = byTag.get(text.charAt(0));
      if (table === undefined) {
        throw new EtlError(
          'ETL_STORAGE_CORRUPT',
          'the applied state has a row of no known table; it was written by a later version or is damaged',
        );
      }
      table.load(text.slice(1), value);
    }
    // What came of a restore is read with the rest, so that no command has to.
    machine.tables.staged.read();
    return machine;
  }

  /**
   * Applies one entry. Never throws for what an entry can contain: what is refused or can not be decoded is an
   * answer, and changes nothing but its session's memory. The one exception is an entry of a later version than
   * this code knows: it throws ETL_UNSUPPORTED and the member must stop, because to skip it would be to diverge.
   */
  apply(entry: Uint8Array): Applied {
    let proposal: Proposal;
    try {
      proposal = decodeProposal(entry);
    } catch (error) {
      return this.#refuse(error);
    }
    if (proposal.version > commandVersion) {
      throw new EtlError(
        'ETL_UNSUPPORTED',
        `the log has a command of version ${proposal.version} and this member knows ${commandVersion}; run a later release`,
      );
    }
    const context = new Context(this.tables, proposal);
    if (proposal.sessionId === '') {
      return this.#finish(context, this.#answer(this.#run(context, proposal), context));
    }
    try {
      const earlier = earlierAnswer(context, proposal);
      if (earlier !== undefined) return { result: earlier, changes: [], touched: [] };
    } catch (error) {
      return this.#refuse(error);
    }
    const answer = this.#answer(this.#run(context, proposal), context);
    keepAnswer(context, proposal, answer);
    return this.#finish(context, answer);
  }

  /** Every row in the order of its key's bytes: what a snapshot holds and a digest is made of. */
  *rows(): Generator<StoredRow> {
    for (const table of this.tables.all) {
      for (const key of table.keys()) {
        yield [table.keyBytes(key), table.valueBytes(key) as Uint8Array];
      }
    }
  }

  /** Runs the command; a refusal leaves the rows as they were. */
  #run(context: Context, proposal: Proposal): Outcome {
    try {
      return dispatch(context, decodeCommand(proposal));
    } catch (error) {
      this.tables.journal.rollback();
      return refusalOf(error);
    }
  }

  #answer(outcome: Outcome, context: Context): CommandResult {
    const refused = outcome.case === 'refusal';
    const revision = refused ? this.tables.clock().revision : context.revision;
    return create(CommandResultSchema, { revision, outcome });
  }

  /** Refuses an entry that never came to a handler. */
  #refuse(error: unknown): Applied {
    const { revision } = this.tables.clock();
    const result = create(CommandResultSchema, { revision, outcome: refusalOf(error) });
    return { result: toBinary(CommandResultSchema, result), changes: [], touched: [] };
  }

  /** Moves the clock with whatever else changed, and settles the journal. */
  #finish(context: Context, answer: CommandResult): Applied {
    const { journal, meta } = this.tables;
    if (!journal.isEmpty) {
      const { nowNs: timeNs } = context;
      meta.put(metaKey, create(StoredMetaSchema, { timeNs, revision: answer.revision }));
    }
    const result = encodeResult(answer);
    const { note } = context;
    return { result, ...journal.commit(), ...(note && { note }) };
  }
}

function decodeProposal(entry: Uint8Array): Proposal {
  checkBytes('proposal', entry.length, maxProposalBytes);
  let proposal: Proposal;
  try {
    proposal = fromBinary(ProposalSchema, entry);
  } catch {
    throw invalid('proposal', 'can not be decoded');
  }
  if (proposal.version === 0) throw invalid('version', 'is required');
  checkOptionalId('uid', proposal.uid);
  if ((proposal.sessionId === '') !== (proposal.requestId === '')) {
    throw invalid('request_id', 'must be set if and only if session_id is');
  }
  return proposal;
}

function decodeCommand(proposal: Proposal): Command {
  try {
    return fromBinary(CommandSchema, proposal.command);
  } catch {
    throw invalid('command', 'can not be decoded');
  }
}

/** The refusal that an EtlError stands for; anything else is a defect and goes on its way. */
function refusalOf(error: unknown): Outcome {
  if (!isEtlError(error)) throw error;
  return { case: 'refusal', value: toRefusal(error) };
}
