// How a router is reached that has no address of its own here. RouterClient knows only this; what stands behind it is
// loaded when a command goes into a cluster, and not otherwise.

import type { Agent } from 'node:http';

/** The end of a message about what doctor looks into. */
export const doctorHint = 'etlctl doctor tells more';

/** One router, ready to be asked. */
export interface Door {
  /** Its GraphQL, as the requests name it. */
  readonly url: URL;
  /** Its name in messages. */
  readonly shown: string;
  /** What to look at when it does not answer as it should. */
  readonly hint: string;
  readonly headers: { readonly [name: string]: string };
  /** Makes the connections; undefined: the network's own. */
  readonly agent?: Agent;
}

/** The door of one pod, not yet opened. */
export interface Entrance {
  /** Name of the pod. */
  readonly pod: string;
  readonly isReady: boolean;
  readonly open: () => Promise<Door>;
}

/** The way into a cluster. */
export interface Route {
  /** `namespace/name` of the EtlRouterCluster. */
  cluster(): Promise<string>;
  /** Whether an operator decides about its members now. */
  isManaged(): Promise<boolean>;
  /** Every pod of it by name, in whatever state. */
  entrances(): Promise<readonly Entrance[]>;
  /** The namespace that the kubeconfig gives what names none; undefined: it says nothing, or can not be read. */
  namespace(): Promise<string | undefined>;
  /** A router that answers, as far as Kubernetes can tell. */
  open(): Promise<Door>;
  /** The router that another one named by its HTTP address; undefined: it is none of this cluster. */
  openLeader(httpAddress: string): Promise<Door | undefined>;
  /** Ends every connection. */
  close(): void;
}
