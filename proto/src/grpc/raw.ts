// The same services with records left as bytes. In a raw service every field that holds a Record or a RecordBatch is a
// Uint8Array with its serialised message: equal bytes on the wire, no decoding on the way. RecordBatch.decode of core
// opens them, RecordBatch.toBytes fills them.

import {
  clone,
  create,
  createFileRegistry,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  type FileRegistry,
  type Message,
  type MessageShape,
} from '@bufbuild/protobuf';
import type { GenMessage, GenService } from '@bufbuild/protobuf/codegenv2';
import {
  type DescriptorProto,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { assert } from '@etl-router/core';

/** Message types that a raw service leaves as bytes. */
const rawTypes: ReadonlySet<string> = new Set([
  '.etl.record.v1.Record',
  '.etl.record.v1.RecordBatch',
]);

type RecordMessage = Message<'etl.record.v1.Record'> | Message<'etl.record.v1.RecordBatch'>;

/** Fields of T that hold one record or batch. */
type RecordFields<T> = {
  [Key in keyof T]-?: [Exclude<T[Key], undefined>] extends [never]
    ? never
    : Exclude<T[Key], undefined> extends RecordMessage
      ? Key
      : never;
}[keyof T];

/** A message whose records are bytes; a batch that is absent is empty bytes. */
export type Raw<T> = T extends RecordMessage
  ? Uint8Array
  : T extends Uint8Array | string | number | bigint | boolean | undefined
    ? T
    : T extends readonly (infer Item)[]
      ? Raw<Item>[]
      : T extends object
        ? { [Key in keyof T as Exclude<Key, RecordFields<T>>]: Raw<T[Key]> } & {
            [Key in RecordFields<T>]: Uint8Array;
          }
        : T;

/** The schema of {@link Raw}. */
export type RawSchema<D extends DescMessage> = GenMessage<Raw<MessageShape<D>> & Message>;

/** A service whose messages hold records as bytes. */
export type RawService<S extends DescService> = GenService<{
  [Key in keyof S['method'] & string]: {
    methodKind: S['method'][Key]['methodKind'];
    input: RawSchema<S['method'][Key]['input']>;
    output: RawSchema<S['method'][Key]['output']>;
  };
}>;

const registries = new WeakMap<DescFile, FileRegistry>();

/** `service` with records left as bytes. */
export function rawService<S extends DescService>(service: S): RawService<S> {
  const raw = registryOf(service.file).getService(service.typeName);
  assert(raw !== undefined, 'a raw file holds the services of its file');
  return raw as unknown as RawService<S>;
}

/** `schema` with records left as bytes: for `create`, and for messages inside those of a raw service. */
export function rawSchema<D extends DescMessage>(schema: D): RawSchema<D> {
  const raw = registryOf(schema.file).getMessage(schema.typeName);
  assert(raw !== undefined, 'a raw file holds the messages of its file');
  return raw as unknown as RawSchema<D>;
}

/** All files that `file` needs, each after those it depends on. */
export function filesBehind(file: DescFile): DescFile[] {
  const found = new Set<DescFile>();
  const visit = (next: DescFile): void => {
    for (const dependency of next.dependencies) visit(dependency);
    found.add(next);
  };
  visit(file);
  return [...found];
}

function registryOf(file: DescFile): FileRegistry {
  let registry = registries.get(file);
  if (registry === undefined) {
    registry = createFileRegistry(
      create(FileDescriptorSetSchema, { file: filesBehind(file).map(rawFile) }),
    );
    registries.set(file, registry);
  }
  return registry;
}

function rawFile(file: DescFile): FileDescriptorProto {
  const copy = clone(FileDescriptorProtoSchema, file.proto);
  copy.messageType.forEach(makeRaw);
  return copy;
}

function makeRaw(message: DescriptorProto): void {
  for (const field of message.field) {
    if (!rawTypes.has(field.typeName)) continue;
    field.type = FieldDescriptorProto_Type.BYTES;
    field.typeName = '';
  }
  message.nestedType.forEach(makeRaw);
}

/** The path of a method in a call, such as `/etl.source.v1.SourceService/PullRecords`. */
export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}
