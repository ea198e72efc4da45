#!/usr/bin/env bash
# The scenarios on kind. With Docker and kind installed, kind does it all by itself. Without, and on Linux as root, kind
# runs on podman with a node image made here from the binaries of ../cluster: no registry is asked.
#
#   kind.sh prepare        what is missing of kind, podman and the node image (2 minutes after `cluster.sh build`)
#   kind.sh up             a cluster; prints the kubeconfig's path
#   kind.sh load ARCHIVE   put an image on its nodes
#   kind.sh down           take it away
#
# KIND_NAME (default etl), KIND_CACHE (default ~/.cache/kind-podman), KIND_PROVIDER=docker|podman (default: docker where it
# answers). It can not run beside the local cluster, which has the same addresses.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLUSTER=$HERE/../cluster
. "$CLUSTER/versions.sh"
NAME=${KIND_NAME:-etl}
WORK=${KIND_CACHE:-$HOME/.cache/kind-podman}
BUILT=${CLUSTER_CACHE:-$HOME/.cache/local-cluster}/bin
NODE_IMAGE=localhost/kind-node:$KUBE_VERSION
REGISTRY=registry.k8s.io
KIND_PAUSE=3.10
ETCD_MODULE=v3.6.5

command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
mkdir -p "$WORK"/{bin,context,cni}
export PATH=$WORK/bin:$PATH:$BUILT KUBECONFIG=$WORK/kubeconfig

say() { echo "kind: $*" >&2; }
die() { say "$*"; exit 1; }

provider() {
  if [ -n "${KIND_PROVIDER:-}" ]; then echo "$KIND_PROVIDER"; return; fi
  if docker info >/dev/null 2>&1; then echo docker; else echo podman; fi
}

# podman with a storage of its own and without systemd
use_podman() {
  export CONTAINERS_STORAGE_CONF=$WORK/storage.conf CONTAINERS_CONF=$WORK/containers.conf KIND_EXPERIMENTAL_PROVIDER=podman
  printf '[storage]\ndriver = "overlay"\nrunroot = "/run/kind-podman"\ngraphroot = "%s/storage"\n' "$WORK" >"$WORK/storage.conf"
  cat >"$WORK/containers.conf" <<END
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "cni"
network_config_dir = "$WORK/cni"
cni_plugin_dirs = ["/usr/lib/cni"]
END
}

# from_file TAG: build the Containerfile on standard input
from_file() {
  buildah --root "$WORK/storage" --runroot /run/kind-podman bud -q --isolation chroot -t "$1" -f - "$WORK/context" >/dev/null
}

prepare() {
  command -v kind >/dev/null || { say "building kind $KIND_VERSION"; (cd / && GOBIN=$WORK/bin go install "sigs.k8s.io/kind@$KIND_VERSION"); }
  [ "$(provider)" = docker ] && return 0
  [ "$(id -u)" = 0 ] || die 'podman needs root here'
  use_podman
  "$CLUSTER/cluster.sh" deps
  "$CLUSTER/cluster.sh" build
  command -v podman >/dev/null && command -v jq >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends podman golang-github-containernetworking-plugin-dnsname jq >/dev/null
  podman image exists "$NODE_IMAGE" && return 0
  binaries
  system_images
  node_files
  node_image
}

# kubeadm and an etcd of the release that kubeadm asks for
binaries() {
  local minor=${KUBE_VERSION#v1.}
  local stamp="-X k8s.io/component-base/version.gitVersion=$KUBE_VERSION -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
  [ -x "$WORK/bin/kubeadm" ] || (cd "$CLUSTER" && CGO_ENABLED=0 go build -ldflags "-s -w $stamp" -o "$WORK/bin/kubeadm" k8s.io/kubernetes/cmd/kubeadm)
  [ -x "$WORK/bin/etcd" ] || {
    mkdir -p "$WORK/etcd-module"
    (cd "$WORK/etcd-module" && { [ -f go.mod ] || go mod init etcd-of-kind; } && go get "go.etcd.io/etcd/server/v3@$ETCD_MODULE" &&
      CGO_ENABLED=0 go build -ldflags '-s -w' -o "$WORK/bin/etcd" go.etcd.io/etcd/server/v3)
  } >/dev/null 2>&1
  local each
  cd "$WORK/context"
  for each in kube-apiserver kube-controller-manager kube-scheduler kube-proxy coredns kubelet kubectl; do cp -L "$BUILT/$each" .; done
  cp -L "$WORK/bin/kubeadm" "$WORK/bin/etcd" /bin/busybox .
  rm -rf libraries && mkdir libraries
  ldd kube-apiserver | grep -o '/[^ ]*' | while read -r each; do cp -L --parents "$each" libraries/; done
}

# The images that kubeadm expects, made from the binaries
system_images() {
  cd "$WORK/context"
  local each version=$KUBE_VERSION
  [ -f proxy.tar ] || mmdebstrap --quiet --variant=essential --include=iptables,conntrack,kmod,ipset "$DEBIAN_SUITE" proxy.tar
  for each in kube-apiserver kube-controller-manager kube-scheduler; do
    printf 'FROM scratch\nCOPY libraries/ /\nENV PATH=/usr/local/bin\nCOPY %s /usr/local/bin/\n' "$each" | from_file "$REGISTRY/$each:$version"
  done
  printf 'FROM scratch\nCOPY libraries/ /\nCOPY coredns /coredns\nENTRYPOINT ["/coredns"]\n' | from_file "$REGISTRY/coredns/coredns:v1.12.1"
  printf 'FROM scratch\nENV PATH=/usr/local/bin\nCOPY etcd /usr/local/bin/\n' | from_file "$REGISTRY/etcd:${ETCD_MODULE#v}-0"
  printf 'FROM scratch\nCOPY busybox /bin/busybox\nENTRYPOINT ["/bin/busybox","sleep","2147483647"]\n' | from_file "$REGISTRY/pause:$KIND_PAUSE"
  printf 'FROM scratch\nADD proxy.tar /\nENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nRUN update-alternatives --set iptables /usr/sbin/iptables-legacy\nCOPY kube-proxy /usr/local/bin/\n' | from_file "$REGISTRY/kube-proxy:$version"
  rm -f k8s.tar
  podman save -q -m -o k8s.tar $REGISTRY/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy}:"$version" \
    "$REGISTRY/coredns/coredns:v1.12.1" "$REGISTRY/etcd:${ETCD_MODULE#v}-0" "$REGISTRY/pause:$KIND_PAUSE"
}

# kind's own files, which are in its module, fitted to a machine that may not change oom scores and limits
node_files() {
  cd "$WORK/context"
  (cd "$WORK" && [ -d "$(go env GOMODCACHE)/sigs.k8s.io/kind@$KIND_VERSION" ]) || (cd / && go mod download "sigs.k8s.io/kind@$KIND_VERSION")
  [ -f base.tar ] || mmdebstrap --quiet --variant=essential \
    --include=systemd,systemd-sysv,dbus,containerd,runc,containernetworking-plugins,iptables,nftables,iproute2,conntrack,ethtool,socat,mount,util-linux,kmod,procps,ca-certificates,curl,jq,libseccomp2,hostname \
    "$DEBIAN_SUITE" base.tar
  rm -rf files && cp -r "$(go env GOMODCACHE)/sigs.k8s.io/kind@$KIND_VERSION/images/base/files" files && chmod -R u+w files
  sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' files/etc/containerd/config.toml
  sed -i 's#/usr/local/bin/containerd#/usr/bin/containerd#; s#^ExecStart=.*#&\nExecStartPost=/bin/sh -c "[ -e /var/lib/k8s-loaded ] || { ctr -n k8s.io images import /kind/k8s.tar \&\& touch /var/lib/k8s-loaded; }"#' \
    files/etc/systemd/system/containerd.service
  ctr oci spec | jq '.hooks.createContainer = [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' >cri-base.json
  cat >10-bridge.conflist <<'END'
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true, "ipam": {
    "type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
  printf %s "$KUBE_VERSION" >version
}

node_image() {
  from_file "$NODE_IMAGE" <<'END'
FROM scratch
ADD base.tar /
COPY files/usr/local/bin/ /usr/local/bin/
COPY files/kind/ /kind/
COPY files/etc/ /etc/
COPY cri-base.json /etc/containerd/
COPY 10-bridge.conflist /etc/cni/net.d/
COPY kubelet kubectl kubeadm /usr/bin/
COPY version k8s.tar /kind/
RUN rm -rf /opt/cni/bin; mkdir -p /opt/cni /etc/kubernetes/manifests && ln -s /usr/lib/cni /opt/cni/bin \
 && chmod 755 /usr/local/bin/* /kind/bin /kind/bin/* \
 && cd /lib/systemd/system && rm -f sysinit.target.wants/systemd-tmpfiles-setup.service multi-user.target.wants/* \
    local-fs.target.wants/* sockets.target.wants/*udev* sockets.target.wants/*initctl* basic.target.wants/* \
    /etc/systemd/system/*.wants/* \
 && echo ReadKMsg=no >>/etc/systemd/journald.conf \
 && systemctl enable kubelet containerd undo-mount-hacks && systemctl mask systemd-binfmt
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
END
}

up() {
  local flags=()
  if [ "$(provider)" = podman ]; then
    use_podman
    mkdir -p /lib/modules # kind mounts it
    printf 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking: {disableDefaultCNI: true}\n' >"$WORK/kind.yaml"
    flags=(--image "$NODE_IMAGE" --config "$WORK/kind.yaml")
  fi
  kind get clusters 2>/dev/null | grep -qx "$NAME" || kind create cluster --name "$NAME" "${flags[@]}" --wait 120s >&2
  kind get kubeconfig --name "$NAME" >"$WORK/kubeconfig"
  [ "$(provider)" = docker ] || volumes
  echo "$WORK/kubeconfig"
}

# kind's own provisioner is an image of a registry; here are folders of the node, enough for a run of the core.
volumes() {
  local each
  podman exec "$NAME-control-plane" sh -c 'for each in $(seq 40); do mkdir -p -m 0777 /var/local/volumes/v$each; done'
  kubectl delete storageclass standard --ignore-not-found >/dev/null
  {
    cat <<'END'
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
END
    for each in $(seq 40); do
      cat <<END
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: v$each}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: /var/local/volumes/v$each}
END
    done
  } | kubectl apply -f - >/dev/null
}

load() { [ "$(provider)" = podman ] && use_podman; kind load image-archive --name "$NAME" "$1"; }

down() {
  [ "$(provider)" = podman ] && use_podman
  kind delete cluster --name "$NAME"
  [ "$(provider)" = podman ] || return 0
  # The bridge of its network has an address of the local cluster.
  kind get clusters 2>/dev/null | grep -q . || podman network rm -f kind >/dev/null
}

case ${1:-} in
  prepare | up | load | down) "$@" ;;
  *) sed -n '/^#   kind.sh/p' "${BASH_SOURCE[0]}" | sed 's/^#   //' >&2; exit 2 ;;
esac
