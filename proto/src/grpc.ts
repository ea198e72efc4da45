// The adapter from generated services to grpc-js: clients, servers, errors and raw records.

export { type ClientOptions, createClient } from './grpc/client.ts';
export { MessageQueue } from './grpc/flow.ts';
export { decodeMessage, EncodedMessage, encodeMessage } from './grpc/messages.ts';
export { type Raw, type RawSchema, type RawService, rawSchema, rawService } from './grpc/raw.ts';
export {
  addService,
  bindServer,
  closeServer,
  createServer,
  type ServerOptions,
  type ServiceOptions,
  toServiceDefinition,
} from './grpc/server.ts';
export { errorCodeKey, fromServiceError, type StatusOverrides, toStatus } from './grpc/status.ts';
export {
  type CallContext,
  type CallOptions,
  type ClientMethod,
  defaultMaxMessageBytes,
  type GrpcClient,
  type Handler,
  type Implementation,
} from './grpc/types.ts';
