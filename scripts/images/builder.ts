// How each of the three builders of images is told to build one target of the Dockerfile and to keep it as an archive.
// It only says the commands; who runs them is scripts/images.ts.

/** Programs that build images, in the order in which they are tried. */
export const builders = ['docker', 'podman', 'buildah'] as const;

export type Builder = (typeof builders)[number];

export interface ImageRequest {
  /** Target of the Dockerfile and name of the bundle. */
  readonly name: string;
  /** Full name with registry and tag. */
  readonly reference: string;
  readonly archive: string;
  readonly version: string;
  readonly revision: string;
  /** Image that Node comes from; undefined: what the Dockerfile says. */
  readonly base: string | undefined;
  /** Where buildah keeps layers; undefined: where it always does. */
  readonly store: string | undefined;
}

/** When every file and image was made: the same content is the same layer, which who has it need not read again. */
const epoch = '0';

/** A program and its arguments. */
export type Command = readonly [string, ...string[]];

/** Fails where the builder is missing or can not work, as a Docker client without its daemon. */
export function probeOf(builder: Builder): Command {
  return builder === 'buildah' ? ['buildah', '--version'] : [builder, 'info'];
}

/** Builds the image, then writes it to its archive, which must not be there yet. */
export function commandsOf(builder: Builder, request: ImageRequest): readonly Command[] {
  const { reference, archive } = request;
  const build = ['--target', request.name, '--tag', reference, ...buildArguments(request), '.'];
  switch (builder) {
    case 'docker': {
      const dated = ['--build-arg', `SOURCE_DATE_EPOCH=${epoch}`];
      return [
        ['docker', 'build', ...dated, ...build],
        ['docker', 'save', '--output', archive, reference],
      ];
    }
    case 'podman':
      return [
        ['podman', 'build', '--layers', '--timestamp', epoch, ...build],
        ['podman', 'save', '--quiet', '--format', 'oci-archive', '--output', archive, reference],
      ];
    case 'buildah': {
      const buildah = ['buildah', ...storeArguments(request.store)] as [string, ...string[]];
      const isolation = ['--isolation', 'chroot', '--layers', '--timestamp', epoch];
      return [
        [...buildah, 'build', ...isolation, ...build],
        [...buildah, 'push', '--quiet', reference, `oci-archive:${archive}:${reference}`],
      ];
    }
  }
}

function buildArguments({ base, version, revision }: ImageRequest): string[] {
  const values = { ...(base === undefined ? {} : { BASE: base }), VERSION: version };
  const given = Object.entries({ ...values, REVISION: revision });
  return [
    '--build-context',
    'bundles=dist',
    ...given.flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
  ];
}

function storeArguments(store: string | undefined): string[] {
  if (store === undefined) return [];
  return [
    '--root',
    store,
    '--runroot',
    '/run/local-cluster-buildah',
    '--storage-driver',
    'overlay',
  ];
}
