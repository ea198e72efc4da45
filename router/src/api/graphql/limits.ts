// Bounds on what a GraphQL document may ask for, checked before anything is resolved. A document within them can not
// make the server work out of proportion to its size.

import {
  type ASTNode,
  type ASTVisitor,
  type DocumentNode,
  type FragmentDefinitionNode,
  GraphQLError,
  Kind,
  Lexer,
  type SelectionSetNode,
  Source,
  TokenKind,
  type ValidationContext,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';

/** The bounds, and what they count. */
export const documentLimits = {
  /** Nesting of fields, through fragments. */
  depth: 12,
  /** Fields of a document, fragments counted each time they are used. */
  fields: 2000,
  /** Lexical tokens: bounds the parser. */
  tokens: 20_000,
  /** Nesting of brackets of any kind, checked before the parser, which would run out of stack. */
  brackets: 100,
  /** Directives of a document. */
  directives: 50,
} as const;

/** Applies {@link documentLimits} to parsing and validation. */
export function useLimits(): Plugin {
  return {
    onParse({ params }) {
      checkBrackets(params.source);
      params.options = { ...params.options, maxTokens: documentLimits.tokens };
    },
    onValidate({ addValidationRule }) {
      addValidationRule(limitRule);
    },
  };
}

/** Throws for brackets nested too deep. What is no GraphQL at all is the parser's business. */
function checkBrackets(source: string | Source): void {
  const lexer = new Lexer(typeof source === 'string' ? new Source(source) : source);
  let depth = 0;
  let tokens = 0;
  try {
    while (lexer.advance().kind !== TokenKind.EOF && ++tokens <= documentLimits.tokens) {
      const { kind } = lexer.token;
      if (opening.has(kind)) depth++;
      else if (closing.has(kind)) depth--;
      if (depth > documentLimits.brackets) break;
    }
  } catch (error) {
    if (error instanceof GraphQLError) return;
    throw error;
  }
  if (depth <= documentLimits.brackets) return;
  throw new GraphQLError(
    `the document has brackets nested deeper than ${documentLimits.brackets}`,
    { extensions: { code: 'ETL_LIMIT_EXCEEDED' } },
  );
}

const opening: ReadonlySet<TokenKind> = new Set([
  TokenKind.BRACE_L,
  TokenKind.BRACKET_L,
  TokenKind.PAREN_L,
]);
const closing: ReadonlySet<TokenKind> = new Set([
  TokenKind.BRACE_R,
  TokenKind.BRACKET_R,
  TokenKind.PAREN_R,
]);

/** A validation rule; reports at most one fault a document. */
export function limitRule(context: ValidationContext): ASTVisitor {
  return {
    Document(document) {
      const fault = findFault(document);
      if (fault !== undefined) {
        context.reportError(
          new GraphQLError(fault, { extensions: { code: 'ETL_LIMIT_EXCEEDED' } }),
        );
      }
    },
  };
}

interface Walk {
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  fields: number;
  fault: string | undefined;
}

function findFault(document: DocumentNode): string | undefined {
  if (countDirectives(document) > documentLimits.directives) {
    return `the document has more than ${documentLimits.directives} directives`;
  }
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION)
      fragments.set(definition.name.value, definition);
  }
  const walk: Walk = { fragments, fields: 0, fault: undefined };
  for (const definition of document.definitions) {
    if (definition.kind === Kind.OPERATION_DEFINITION) visit(definition.selectionSet, 1, walk, []);
  }
  return walk.fault;
}

/** Walks selections as the executor would; stops at the first fault, so its own cost is bounded too. */
function visit(
  selections: SelectionSetNode,
  depth: number,
  walk: Walk,
  path: readonly string[],
): void {
  for (const selection of selections.selections) {
    if (walk.fault !== undefined) return;
    if (selection.kind === Kind.FIELD) {
      walk.fields++;
      if (walk.fields > documentLimits.fields)
        walk.fault = `the document asks for more than ${documentLimits.fields} fields`;
      else if (depth > documentLimits.depth)
        walk.fault = `the document is nested deeper than ${documentLimits.depth} fields`;
      else if (selection.selectionSet !== undefined)
        visit(selection.selectionSet, depth + 1, walk, path);
    } else if (selection.kind === Kind.INLINE_FRAGMENT) {
      visit(selection.selectionSet, depth, walk, path);
    } else {
      const name = selection.name.value;
      const fragment = walk.fragments.get(name);
      // A circular or unknown fragment is a standard rule's business.
      if (fragment !== undefined && !path.includes(name))
        visit(fragment.selectionSet, depth, walk, [...path, name]);
    }
  }
}

function countDirectives(document: DocumentNode): number {
  let count = 0;
  const stack: unknown[] = [document];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (Array.isArray(node)) {
      for (const child of node) stack.push(child);
    } else if (isNode(node)) {
      if (node.kind === Kind.DIRECTIVE) count++;
      for (const [key, child] of Object.entries(node)) {
        if (key !== 'loc' && typeof child === 'object' && child !== null) stack.push(child);
      }
    }
  }
  return count;
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === 'object' && value !== null && 'kind' in value;
}
