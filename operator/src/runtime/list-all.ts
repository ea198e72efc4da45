// Lists a kind whole, page by page: no single answer of the server is larger than a page.

import type { KubeKind, KubeObject } from './kube-object.ts';
import type { Page, PageOptions, Selection } from './kube-options.ts';
import type { RawKube } from './raw-kube.ts';

/** Everything of a kind as of one resource version. ETL_CONFLICT (410) when the server forgot that version meanwhile. */
export async function listAll<T extends KubeObject>(
  client: Pick<RawKube, 'listPage'>,
  kind: KubeKind,
  selection: Selection,
  options: Omit<PageOptions, 'continue'>,
): Promise<Page<T>> {
  const items: T[] = [];
  let page: Page<T> | undefined;
  do {
    page = await client.listPage<T>(kind, selection, { ...options, continue: page?.continue });
    items.push(...page.items);
  } while (page.continue !== undefined);
  return { items, resourceVersion: page.resourceVersion };
}
