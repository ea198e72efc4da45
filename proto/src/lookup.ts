// LookupService and its messages: etl.lookup.v1.
// Every name of the generated code is listed by hand here; nothing of gen/ is importable from outside.

export {
  type BatchLookupRequest,
  BatchLookupRequestSchema,
  type BatchLookupResponse,
  BatchLookupResponseSchema,
  type GetCapabilitiesRequest,
  GetCapabilitiesRequestSchema,
  type GetCapabilitiesResponse,
  GetCapabilitiesResponseSchema,
  type LookupRequest,
  LookupRequestSchema,
  type LookupResponse,
  LookupResponseSchema,
  type LookupResult,
  LookupResultSchema,
  LookupService,
  LookupStatus,
} from './gen/etl/lookup/v1/lookup_pb.ts';
