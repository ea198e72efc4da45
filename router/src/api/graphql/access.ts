// What an operation of GraphQL needs: to look for a query or subscription, to change for a mutation. It is judged by the
// document that is executed, so no way of sending one goes round it.

import { EtlError, toEtlError } from '@etl-router/core';
import type { ExecutionArgs } from 'graphql';
import { GraphQLError, getOperationAST } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Caller } from '../access/access.ts';
import type { Gate } from '../access/gate.ts';
import { statusOf } from '../access/refusals.ts';

/** What the engine is told of a request beside it. */
export interface Admitted {
  /** Undefined: nobody was asked for, as there is no gate. */
  readonly caller?: Caller | undefined;
}

interface Stoppable {
  readonly args: Pick<ExecutionArgs, 'document' | 'operationName' | 'contextValue'>;
  readonly setResultAndStopExecution: (result: { errors: GraphQLError[] }) => void;
}

/** Lets through only what the gate allows the caller. `mask` makes an error fit to be shown. */
export function useAccess(gate: Gate, mask: (error: unknown) => Error): Plugin {
  const hold = async ({ args, setResultAndStopExecution }: Stoppable): Promise<void> => {
    try {
      const { caller } = args.contextValue as Admitted;
      if (caller === undefined)
        throw new EtlError('ETL_UNAUTHENTICATED', 'this needs a bearer token');
      const operation = getOperationAST(args.document, args.operationName)?.operation;
      await gate.check(
        caller,
        operation === 'query' || operation === 'subscription' ? 'get' : 'update',
      );
    } catch (error) {
      const { message, extensions } = mask(error) as GraphQLError;
      const http = { status: statusOf(toEtlError(error)) };
      const shown = new GraphQLError(message, { extensions: { ...extensions, http } });
      setResultAndStopExecution({ errors: [shown] });
    }
  };
  return {
    onExecute: (call) => hold(call as Stoppable),
    onSubscribe: (call) => hold(call as Stoppable),
  };
}
