#!/usr/bin/env bash
# A real Kubernetes on one Linux machine without Docker: the control plane, etcd and CoreDNS run as processes of this
# machine, each node is a network namespace with a containerd, a kubelet and a kube-proxy of its own. Pods are real, and
# a node can be cut off, lost and brought back.
#
#   cluster.sh deps                     install the Debian packages that it needs
#   cluster.sh build                    build the binaries from their Go modules, once (7 to 10 minutes on two cores)
#   cluster.sh helm4                    build Helm 4 too, once; prints its path
#   cluster.sh base-image               make the stand-in for the image that Dockerfiles start from; no registry is asked
#   cluster.sh image TAG DIR [FILE]     build an image and keep it as an archive
#   cluster.sh up [NODES]               start the cluster, or what is missing of it; prints the kubeconfig's path
#   cluster.sh load TAG|ARCHIVE...      put images on every node
#   cluster.sh cut N | heal N           take the link of a node away, give it back
#   cluster.sh lose N | join N          end all that runs on a node at once, start it again
#   cluster.sh freeze POD | thaw POD    stop the processes of a pod (NAMESPACE/NAME) where they are, let them go on
#   cluster.sh stop NAME... | start apiserver     a component by the name of its log, such as kubelet2
#   cluster.sh status                   what runs
#   cluster.sh down                     stop everything and remove what it made, but for the cache
#
# CLUSTER_DIR: what this cluster keeps (default /tmp/local-cluster). CLUSTER_CACHE: binaries and images, which outlive it
# (default ~/.cache/local-cluster). BASE_IMAGE: name of the stand-in.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DIR=${CLUSTER_DIR:-/tmp/local-cluster}
CACHE=${CLUSTER_CACHE:-$HOME/.cache/local-cluster}
BIN=$CACHE/bin
BASE_IMAGE=${BASE_IMAGE:-docker.io/library/node:24-bookworm-slim}
HOST_IP=10.89.0.1
# Where Go puts itself, for shells that were not told.
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
export KUBECONFIG=$DIR/admin.conf PATH=$BIN:$PATH

# shellcheck source=/dev/null
for part in versions parts/processes parts/build parts/images parts/control-plane parts/volumes parts/nodes parts/lifecycle; do
  . "$HERE/$part.sh"
done

usage() {
  sed -n '/^#   cluster.sh/p' "${BASH_SOURCE[0]}" | sed 's/^#   //' >&2
  exit 2
}

[ $# -gt 0 ] || usage
command=$1
shift
case $command in
  deps | build | image | up | load | freeze | thaw | stop | status | down) "$command" "$@" ;;
  cut | heal | lose | join) "node_$command" "$@" ;;
  base-image) base_image ;;
  helm4) helm4 ;;
  start) [ "${1:-}" = apiserver ] || die 'only the API server is started alone; a node is: join N'; start_apiserver ;;
  recycle) recycle_volumes ;;
  *) usage ;;
esac
