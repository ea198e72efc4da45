// TransformService and its messages: etl.transform.v1.
// Every name of the generated code is listed by hand here; nothing of gen/ is importable from outside.

export {
  type GetCapabilitiesRequest,
  GetCapabilitiesRequestSchema,
  type GetCapabilitiesResponse,
  GetCapabilitiesResponseSchema,
  type ProcessBatchRequest,
  ProcessBatchRequestSchema,
  type ProcessBatchResponse,
  ProcessBatchResponseSchema,
  type ProcessStreamRequest,
  ProcessStreamRequestSchema,
  type ProcessStreamResponse,
  ProcessStreamResponseSchema,
  type RecordResult,
  RecordResultSchema,
  RecordStatus,
  TransformService,
} from './gen/etl/transform/v1/transform_pb.ts';
