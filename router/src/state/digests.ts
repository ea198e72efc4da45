// Commands that compare the members. They change no row: what a digest was is no part of the state that it is of.

import type { ReportDigest } from '@etl-router/proto';
import { invalid } from './names.ts';
import { done, type Outcome } from './refusal.ts';
import type { Context } from './tables.ts';

const digestBytes = 32;

export function takeDigest(context: Context): Outcome {
  context.note = { kind: 'take' };
  return done;
}

export function reportDigest(context: Context, command: ReportDigest): Outcome {
  const { index, raftId, sha256 } = command;
  if (sha256.length !== digestBytes) throw invalid('sha256', `must have ${digestBytes} bytes`);
  context.note = { kind: 'report', index, raftId, sha256 };
  return done;
}
