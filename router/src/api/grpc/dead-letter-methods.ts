// The methods of RouterAdmin about dead letters. The records stay with the sidecar that holds them.

import { EtlError } from '@etl-router/core';
import { fromRecord } from '@etl-router/proto';
import type { DeadLetterFilter as FilterMessage, RouterAdmin } from '@etl-router/proto/admin';
import type { Implementation } from '@etl-router/proto/grpc';
import type { DeadLetterFilter } from '../../server/dead-letters.ts';
import { invalid } from '../../state/names.ts';
import { fromDeadLetter } from './admin-messages.ts';
import type { GrpcContext } from './context.ts';
import { atMost, pipelineId, required } from './fields.ts';
import { decodeToken, encodeToken, sizeOf } from './pages.ts';

const pageBounds = { defaultSize: 100, maxSize: 1000 };
const idsMax = 1000;

/** List, get, redrive and discard. */
export function createDeadLetterMethods(
  context: GrpcContext,
): Pick<
  Implementation<typeof RouterAdmin>,
  'listDeadLetters' | 'getDeadLetter' | 'redriveDeadLetters' | 'discardDeadLetters'
> {
  const { deadLetters } = context.router;
  return {
    listDeadLetters: async ({ filter, pageSize, pageToken }) => {
      const { namespace, name } = required('filter.pipeline', filter?.pipeline);
      const id = `${namespace || 'default'}/${required('filter.pipeline.name', name)}`;
      const page = await deadLetters.list({
        pipelineId: existing(context, id),
        filter: toFilter([], filter),
        first: sizeOf({ pageSize, pageToken }, pageBounds),
        ...(pageToken !== '' && { after: toCursor(pageToken) }),
      });
      return {
        deadLetters: page.items.map(fromDeadLetter),
        total: BigInt(page.total),
        nextPageToken: page.next === undefined ? '' : encodeToken([String(page.next)]),
      };
    },
    getDeadLetter: async ({ pipeline, deadLetterId }) => {
      const id = existing(context, pipelineId('pipeline', pipeline));
      const view = await deadLetters.get(id, required('dead_letter_id', deadLetterId));
      return {
        summary: fromDeadLetter(view),
        lane: { pipeline: view.pipelineId, source: view.source, partition: view.partition },
        record: fromRecord(view.record),
      };
    },
    redriveDeadLetters: async ({ pipeline, deadLetterIds, filter, edits }) => {
      const id = existing(context, pipelineId('pipeline', pipeline));
      if (edits.length > 0) {
        throw new EtlError(
          'ETL_UNSUPPORTED',
          'edits: dead letters are sent again as they are; correct the stage, or discard them and send corrected records',
        );
      }
      return { redriven: BigInt(await deadLetters.redrive(id, toFilter(deadLetterIds, filter))) };
    },
    discardDeadLetters: async ({ pipeline, deadLetterIds, filter }) => {
      const id = existing(context, pipelineId('pipeline', pipeline));
      return { discarded: BigInt(await deadLetters.discard(id, toFilter(deadLetterIds, filter))) };
    },
  };
}

function existing({ router }: GrpcContext, id: string): string {
  if (router.pipelines.get(id) !== undefined) return id;
  throw new EtlError('ETL_NOT_FOUND', `there is no pipeline ${id}`);
}

function toFilter(ids: readonly string[], filter: FilterMessage | undefined): DeadLetterFilter {
  atMost('dead_letter_ids', ids.length, idsMax);
  if (ids.length > 0) return { ids };
  const { stage = '', code = '' } = filter ?? {};
  return { ...(stage !== '' && { stage }), ...(code !== '' && { code }) };
}

function toCursor(token: string): number {
  const [text = ''] = decodeToken(token);
  const cursor = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(cursor)) return cursor;
  throw invalid('page_token', 'is no next_page_token of an earlier page');
}
