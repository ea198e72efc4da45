# Debian packages and the binaries, which are built from the modules that go.mod and versions.sh name.

packages=(etcd-server containerd runc containernetworking-plugins iptables ipset conntrack busybox-static buildah
  mmdebstrap openssl iproute2 procps)

deps() {
  need_root
  local missing=() each
  for each in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$each" 2>/dev/null | grep -q 'ok installed' || missing+=("$each")
  done
  [ ${#missing[@]} = 0 ] && return 0
  command -v apt-get >/dev/null || die "install these by the package manager of this machine: ${missing[*]}"
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

build() {
  command -v go >/dev/null || die 'Go is needed to build Kubernetes: https://go.dev/dl'
  mkdir -p "$BIN"
  local name minor=${KUBE_VERSION#v1.}
  local stamp="-X k8s.io/component-base/version.gitVersion=$KUBE_VERSION -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
  for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    if [ ! -x "$BIN/$name-$KUBE_VERSION" ]; then
      say "building $name $KUBE_VERSION"
      (cd "$HERE" && go build -trimpath -ldflags "-s -w $stamp" -o "$BIN/$name-$KUBE_VERSION.part" "k8s.io/kubernetes/cmd/$name")
      mv "$BIN/$name-$KUBE_VERSION.part" "$BIN/$name-$KUBE_VERSION"
    fi
    ln -sf "$name-$KUBE_VERSION" "$BIN/$name"
  done
  install_tool helm helm.sh/helm/v3/cmd/helm "$HELM_VERSION"
  install_tool coredns github.com/coredns/coredns "$COREDNS_VERSION"
}

# install_tool NAME MODULE VERSION: unless the one that is there was built of that version
install_tool() {
  go version -m "$BIN/$1" 2>/dev/null | grep -q "^[[:space:]]mod[[:space:]].*[[:space:]]$3[[:space:]]" && return 0
  say "building $1 $3"
  (cd / && GOBIN=$BIN go install "$2@$3")
}

# The next Helm, beside the one that is used: prints where it is.
helm4() {
  mkdir -p "$BIN/next"
  [ -x "$BIN/next/helm-$HELM4_VERSION" ] || {
    say "building helm $HELM4_VERSION"
    (cd / && GOBIN=$BIN/next go install "helm.sh/helm/v4/cmd/helm@$HELM4_VERSION") >&2
    mv "$BIN/next/helm" "$BIN/next/helm-$HELM4_VERSION"
  }
  echo "$BIN/next/helm-$HELM4_VERSION"
}
