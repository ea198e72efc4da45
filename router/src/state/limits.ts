// Every bound of the state machine. They are part of its meaning: all members must refuse the same command, so a
// change of one of them is a new command version (docs/specs/0004-state-machine.md).

/** Kinds of objects. A kind that pipeline/src/model.ts adds is added here with a new command version. */
export const storedKinds: readonly string[] = [
  'EtlSource',
  'EtlTransform',
  'EtlSink',
  'EtlPipeline',
];
/** A whole proposal, as it stands in the log. */
export const maxProposalBytes: number = 1024 * 1024;
/** A manifest: its spec, labels and annotations. What is left of a proposal carries names and stamps. */
export const maxManifestBytes: number = maxProposalBytes - 4 * 1024;
/** The normalised pipeline in an assignment. */
export const maxPipelineJsonBytes: number = maxProposalBytes - 4 * 1024;
/** Stages with a place in an assignment. */
export const maxPlacements = 1000;
/** Ids of services, sidecars, groups, members, sessions and requests; `namespace/name` fits. */
export const maxIdLength = 317;
/** Names of objects. */
export const maxNameLength = 253;
/** Namespaces and stages. */
export const maxLabelLength = 63;
/** A partition's name in UTF-8. */
export const maxPartitionBytes = 1024;
/** A position. */
export const maxPositionBytes = 256;
/** Free text such as a health message. */
export const maxTextBytes = 1024;
/** Labels or annotations of one object or service. */
export const maxPairs = 256;
/** Entries of a list such as capabilities. */
export const maxListItems = 256;
/** The opaque part of a service checkpoint. */
export const maxCheckpointBytes: number = 256 * 1024;
/** Positions in one service checkpoint. */
export const maxCheckpointPositions = 1000;
/** Lanes in one OpenLanes. */
export const maxLanesPerOpen = 1000;
/** Items of one batch of positions or watermarks. */
export const maxItemsPerBatch = 10_000;
/** Partitions a consumer group divides. */
export const maxGroupPartitions = 10_000;
/** Members of a consumer group. */
export const maxGroupMembers = 1000;
/** Answers kept for a session; the oldest is forgotten first. */
export const maxRequestsPerSession = 1000;
/** Longest lease and session silence. */
export const maxTtlMs: number = 24 * 60 * 60 * 1000;
/** Shortest lease and session silence. */
export const minTtlMs = 1000;

/** Highest epoch of an operator. */
export const maxOperatorEpoch: bigint = 2n ** 53n - 1n;

/** Rows of a backup that is restored. */
export const maxRestoreBytes: number = 256 * 1024 * 1024;
/** One chunk of them. */
export const maxRestoreChunkBytes: number = 512 * 1024;
export const maxRestoreChunks = 512;
/** Silence after which a restore may be dropped for another one. */
export const restoreIdleMs = 60_000;
/** What a restore adds to the revision: more than anyone can have been given since the backup was made. */
export const restoreLeap: bigint = 2n ** 20n;
/** Revision of a backup, so that what follows it stays within 2^53. */
export const maxRestoredRevision: bigint = 2n ** 52n;

/** Most rows of each kind. */
export const maxRows = {
  objects: 10_000,
  services: 10_000,
  sidecars: 1000,
  lanes: 100_000,
  checkpoints: 10_000,
  groups: 1000,
  groupPositions: 100_000,
  sessions: 10_000,
} as const;
