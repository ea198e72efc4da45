// A valid document for every mutation of the schema, so that what is refused is refused for who asks.

import {
  buildSchema,
  type GraphQLInputType,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
} from 'graphql';

/** Name of the mutation → document. */
export function everyMutation(schema: string): { readonly [name: string]: string } {
  const fields = buildSchema(schema).getMutationType()?.getFields() ?? {};
  return Object.fromEntries(
    Object.values(fields).map(({ name, args, type }) => {
      const given = args
        .filter((arg) => isNonNullType(arg.type) && arg.defaultValue === undefined)
        .map((arg) => `${arg.name}: ${literal(arg.type)}`);
      const call = given.length === 0 ? name : `${name}(${given.join(', ')})`;
      const selection = isObjectType(getNamedType(type)) ? ' { __typename }' : '';
      return [name, `mutation { ${call}${selection} }`];
    }),
  );
}

function literal(type: GraphQLInputType): string {
  if (isNonNullType(type)) return literal(type.ofType as GraphQLInputType);
  if (isListType(type)) return '[]';
  if (isEnumType(type)) return type.getValues()[0]?.name ?? '';
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields())
      .filter((field) => isNonNullType(field.type) && field.defaultValue === undefined)
      .map((field) => `${field.name}: ${literal(field.type)}`);
    return `{ ${fields.join(', ')} }`;
  }
  return type.name === 'Boolean' ? 'true' : type.name === 'Int' ? '1' : '"1"';
}
