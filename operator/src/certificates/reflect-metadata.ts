// What a dependency injector below @peculiar/x509 asks of `Reflect` while it loads: metadata of classes, kept and given
// back. It stops at the first import without it. Has to be imported before @peculiar/x509; knows no inheritance, since
// nothing there inherits what it annotates.

type Keyed = Map<unknown, unknown>;

const metadataOf = new WeakMap<object, Keyed>();

function keyedOf(target: object): Keyed {
  const known = metadataOf.get(target) ?? new Map<unknown, unknown>();
  metadataOf.set(target, known);
  return known;
}

const metadata = {
  defineMetadata: (key: unknown, value: unknown, target: object): void => {
    keyedOf(target).set(key, value);
  },
  getMetadata: (key: unknown, target: object): unknown => metadataOf.get(target)?.get(key),
  getOwnMetadata: (key: unknown, target: object): unknown => metadataOf.get(target)?.get(key),
  hasOwnMetadata: (key: unknown, target: object): boolean =>
    metadataOf.get(target)?.has(key) === true,
};

if (!('getMetadata' in Reflect)) Object.assign(Reflect, metadata);
