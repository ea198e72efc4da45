// Pages of lists that are in order of their keys. A token is the key of the last item given, so what is added or
// removed between two pages neither repeats nor hides another item.

import { invalid } from '../../state/names.ts';

/** What a caller says about the page it wants. */
export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

export interface PageBounds {
  readonly defaultSize: number;
  readonly maxSize: number;
}

const tokenMaxLength = 4096;

/** The items after the token, and the token of the next page; empty: there is none. */
export function pageOf<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => readonly string[],
  request: PageRequest,
  bounds: PageBounds,
): { readonly items: readonly Item[]; readonly nextPageToken: string } {
  const size = sizeOf(request, bounds);
  const after = request.pageToken === '' ? undefined : decodeToken(request.pageToken);
  const rest =
    after === undefined ? items : items.filter((item) => compareKeys(keyOf(item), after) > 0);
  const page = rest.slice(0, size);
  const last = page.at(-1);
  const hasMore = rest.length > page.length && last !== undefined;
  return { items: page, nextPageToken: hasMore ? encodeToken(keyOf(last)) : '' };
}

/** How many items a page has. */
export function sizeOf({ pageSize }: PageRequest, { defaultSize, maxSize }: PageBounds): number {
  if (pageSize <= maxSize) return pageSize === 0 ? defaultSize : pageSize;
  throw invalid('page_size', `must be at most ${maxSize}`);
}

/** A key as a token. */
export function encodeToken(key: readonly string[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/** The key in a token. */
export function decodeToken(token: string): readonly string[] {
  try {
    const key: unknown =
      token.length <= tokenMaxLength
        ? JSON.parse(Buffer.from(token, 'base64url').toString('utf8'))
        : undefined;
    if (Array.isArray(key) && key.every((part) => typeof part === 'string')) return key;
  } catch {
    // Not JSON, so not one of ours: refused below.
  }
  throw invalid('page_token', 'is no next_page_token of an earlier page');
}

function compareKeys(a: readonly string[], b: readonly string[]): number {
  for (const [index, part] of a.entries()) {
    const other = b[index] ?? '';
    if (part !== other) return part < other ? -1 : 1;
  }
  return a.length - b.length;
}
