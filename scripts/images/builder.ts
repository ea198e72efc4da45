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

/** What a builder starts from where nobody says something else. */
export const defaultBase = 'docker.io/library/node:24-bookworm-slim';

/**
 * Whether a builder is of use: it is here and can work, as a Docker client without its daemon can not, and one of `hasBase`
 * finds the base image. buildah is given one where there is no registry.
 */
export function probesOf(
  builder: Builder,
  base: string,
): { readonly isHere: Command; readonly hasBase: readonly Command[] } {
  if (builder === 'buildah') return { isHere: ['buildah', '--version'], hasBase: [] };
  return {
    isHere: [builder, 'info'],
    hasBase: [
      [builder, 'image', 'inspect', base],
      [builder, 'pull', '--quiet', base],
    ],
  };
}

/** Builds the image, then writes it to its archive, which must not be there yet. */
export function commandsOf(
  builder: Builder,
  request: ImageRequest,
): { readonly build: Command; readonly save: Command } {
  const { reference, archive } = request;
  const build = ['--target', request.name, '--tag', reference, ...buildArguments(request), '.'];
  switch (builder) {
    case 'docker': {
      const dated = ['--build-arg', `SOURCE_DATE_EPOCH=${epoch}`];
      return {
        build: ['docker', 'build', ...dated, ...build],
        save: ['docker', 'save', '--output', archive, reference],
      };
    }
    case 'podman':
      return {
        build: ['podman', 'build', '--layers', '--timestamp', epoch, ...build],
        save: [
          'podman',
          'save',
          '--quiet',
          '--format',
          'oci-archive',
          '--output',
          archive,
          reference,
        ],
      };
    case 'buildah': {
      const buildah = ['buildah', ...storeArguments(request.store)] as [string, ...string[]];
      const isolation = ['--isolation', 'chroot', '--layers', '--timestamp', epoch];
      return {
        build: [...buildah, 'build', ...isolation, ...build],
        save: [...buildah, 'push', '--quiet', reference, `oci-archive:${archive}:${reference}`],
      };
    }
  }
}

function buildArguments({ base, version, revision }: ImageRequest): string[] {
  const label = (name: string, value: string): string[] => [
    '--label',
    `org.opencontainers.image.${name}=${value}`,
  ];
  return [
    ...['--build-context', 'bundles=dist'],
    ...(base === undefined ? [] : ['--build-arg', `BASE=${base}`]),
    ...label('version', version),
    ...label('revision', revision),
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
