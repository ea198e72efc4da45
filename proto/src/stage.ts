// What the services of user code have in common: etl.stage.v1.
// Every name of the generated code is listed by hand here; nothing of gen/ is importable from outside.

export {
  type Credit,
  CreditSchema,
  type Failure,
  FailureSchema,
  type RecordFailure,
  RecordFailureSchema,
  type StageContext,
  StageContextSchema,
} from './gen/etl/stage/v1/stage_pb.ts';
