// What an operation of GraphQL waits for before it is answered: a query until this member knows all that was answered
// before, unless a stale answer was asked for; a mutation on a member that does not lead as well, as it judges by what
// it reads. What a member says of itself needs nobody else, and is answered without a leader too.

import { type DocumentNode, getOperationAST, Kind, type OperationDefinitionNode } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Router } from '../../server/router.ts';
import { consistencyHeader, freshEnough } from '../consistency.ts';

/** Answered of what this member itself knows, or is. */
const own: ReadonlySet<string> = new Set([
  '__schema',
  '__type',
  '__typename',
  'clusterStatus',
  'errorStats',
  'operationalError',
  'operationalErrors',
  'snapshots',
  'snapshots',
  'version',
]);

/** Holds operations up until they may be answered. `mask` makes an error fit to be shown. */
export function useConsistency(router: Router, mask: (error: unknown) => Error): Plugin {
  const hold = async (
    document: DocumentNode,
    name: string | null | undefined,
    request: Request | undefined,
  ): Promise<void> => {
    const operation = getOperationAST(document, name);
    if (operation === null || operation === undefined || concernsItself(operation, document))
      return;
    const leads = router.cluster().role === 'leader';
    if (operation.operation === 'mutation' && leads) return;
    const asked = operation.operation === 'query' ? request?.headers.get(consistencyHeader) : null;
    await freshEnough(router, asked, request?.signal);
  };
  return {
    async onExecute({ args, setResultAndStopExecution }) {
      const { request } = args.contextValue as { readonly request?: Request };
      try {
        await hold(args.document, args.operationName, request);
      } catch (error) {
        setResultAndStopExecution({ data: null, errors: [mask(error) as never] });
      }
    },
  };
}

function concernsItself(operation: OperationDefinitionNode, document: DocumentNode): boolean {
  const fields = (selections: OperationDefinitionNode['selectionSet'], depth: number): string[] =>
    selections.selections.flatMap((selection) => {
      if (selection.kind === Kind.FIELD) return [selection.name.value];
      if (depth === 0) return ['…'];
      if (selection.kind === Kind.INLINE_FRAGMENT) return fields(selection.selectionSet, depth - 1);
      const fragment = document.definitions.find(
        (each) =>
          each.kind === Kind.FRAGMENT_DEFINITION && each.name.value === selection.name.value,
      );
      return fragment?.kind === Kind.FRAGMENT_DEFINITION
        ? fields(fragment.selectionSet, depth - 1)
        : ['…'];
    });
  return fields(operation.selectionSet, 12).every((name) => own.has(name));
}
