# Images without a registry: buildah builds them, archives in the cache carry them to the nodes.

buildah_() { buildah --root "$CACHE/buildah" --runroot /run/local-cluster-buildah --storage-driver overlay "$@"; }

archive_of() { echo "$CACHE/images/${1//[\/:]/_}.tar"; }

# Debian's essential packages, Node and npm under the name of the image that Dockerfiles start from.
base_image() {
  need_root
  buildah_ inspect --type image "$BASE_IMAGE" >/dev/null 2>&1 && return 0
  local work arch
  case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) die "no Node for $(uname -m)" ;; esac
  work=$(mktemp -d)
  say "making a stand-in for $BASE_IMAGE"
  mmdebstrap --quiet --variant=essential --include=ca-certificates,libstdc++6,libatomic1,passwd "$DEBIAN_SUITE" "$work/base.tar"
  (cd "$work" && echo '{}' >package.json && npm install --silent --no-audit --no-fund "node-linux-$arch@$NODE_VERSION" "npm@$NPM_VERSION")
  cp -L "$work/node_modules/node-linux-$arch/bin/node" "$work/node"
  cp -rL "$work/node_modules/npm" "$work/npm"
  cat >"$work/Containerfile" <<'END'
FROM scratch
ADD base.tar /
COPY node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
 && groupadd -g 1000 node && useradd -u 1000 -g 1000 -m node
CMD ["node"]
END
  buildah_ bud --isolation chroot -t "$BASE_IMAGE" -f "$work/Containerfile" "$work" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  rm -rf "$work"
}

image() {
  [ $# -ge 2 ] || usage
  local tag=$1 dir=$2 file=${3:-Dockerfile} mounts=() each
  base_image
  mkdir -p "$CACHE/images"
  # Authorities and settings of this machine's npm, so that a build reaches what the machine reaches.
  for each in /etc/ssl/certs/ca-certificates.crt /usr/local/etc/npmrc; do [ -f "$each" ] && mounts+=(-v "$each:$each:ro"); done
  buildah_ bud --isolation chroot --network host "${mounts[@]}" --pull-never -t "$tag" -f "$dir/$file" "$dir"
  keep_image "$tag"
}

# keep_image TAG: as an archive in the cache
keep_image() {
  local file
  file=$(archive_of "$1")
  mkdir -p "$CACHE/images"
  rm -f "$file"
  buildah_ push -q "$1" "oci-archive:$file:$1"
}

# What holds the namespaces of a pod: it sleeps.
pause_image() {
  local work
  [ -f "$CACHE/images/pause.tar" ] && return 0
  work=$(mktemp -d)
  mkdir -p "$CACHE/images"
  cp /bin/busybox "$work/"
  printf 'FROM scratch\nCOPY busybox /bin/busybox\nENTRYPOINT ["/bin/busybox","sleep","2147483647"]\n' >"$work/Containerfile"
  buildah_ bud -q --isolation chroot -t docker.io/local/pause:1 -f "$work/Containerfile" "$work" >/dev/null
  buildah_ push -q docker.io/local/pause:1 "oci-archive:$CACHE/images/pause.tar:docker.io/local/pause:1"
  rm -rf "$work"
}

# load TAG|ARCHIVE...: on all nodes at once
load() {
  local each node files=() imports=()
  for each in "$@"; do
    [ -f "$each" ] || [ -f "$(archive_of "$each")" ] || die "no image $each: build it with cluster.sh image, or name an archive"
    if [ -f "$each" ]; then files+=("$each"); else files+=("$(archive_of "$each")"); fi
  done
  for node in $(nodes); do
    (for each in "${files[@]}"; do ctr_on "$node" images import "$each" >/dev/null; done) &
    imports+=($!)
  done
  for each in "${imports[@]}"; do wait "$each" || die 'a node did not take an image'; done
}
