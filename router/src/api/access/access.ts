// Who may ask a router for what. The interfaces know callers and acts; who decides is behind an interface, so that a
// router beside no Kubernetes can be given another. What nobody allowed is denied.

/** What a caller wants: to look, or to change something. Verbs of Kubernetes. */
export type Verb = 'get' | 'update';

/** Somebody whose word was checked. */
export interface Caller {
  /** As in `system:serviceaccount:shop:viewer`. */
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  /** What else the authenticator knows, as in the pod of a service account. */
  readonly extra: { readonly [key: string]: readonly string[] };
}

/** Decides. Both throw ETL_UNAVAILABLE while they can not; that is a denial, and says that it may pass. */
export interface Authority {
  /** Whose bearer token it is; undefined: nobody's that counts. */
  authenticate(token: string, signal?: AbortSignal): Promise<Caller | undefined>;
  /** Whether the caller may do that with this router. */
  allows(caller: Caller, verb: Verb, signal?: AbortSignal): Promise<boolean>;
}
