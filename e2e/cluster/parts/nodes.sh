# Nodes: a network namespace on a bridge, a containerd, a kubelet and a kube-proxy each.

node_ip() { echo "10.89.0.$((10 + $1))"; }
nodes() { find "$DIR/nodes" -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | sed 's/^node//' | sort -n; }
ctr_on() { local node=$1; shift; ctr -a "$DIR/nodes/node$node/ctd.sock" -n k8s.io "$@"; }
in_node() { local node=$1; shift; nsenter --net="/var/run/netns/lc-node$node" "$@"; }
known_node() { [ -d "$DIR/nodes/node${1:-none}" ] || die "no node ${1:-}: there are $(nodes | tr '\n' ' ')"; }

bridge() {
  local other
  other=$(ip -o -4 addr show to "$HOST_IP/32" | awk '$2 != "lc-br" { print $2; exit }')
  [ -z "$other" ] || die "$HOST_IP is an address of $other already: take down what that is of, such as kind on podman, or ip link del $other"
  ip link show lc-br >/dev/null 2>&1 || ip link add lc-br type bridge
  ip addr replace "$HOST_IP/16" dev lc-br
  ip link set lc-br up
  sysctl -qw net.ipv4.ip_forward=1
  iptables -C FORWARD -i lc-br -o lc-br -j ACCEPT 2>/dev/null || iptables -I FORWARD -i lc-br -o lc-br -j ACCEPT
}

# link_node NODE: its namespace, its address, and routes between its pods and those of the others
link_node() {
  local node=$1 ip other
  ip=$(node_ip "$node")
  if ! ip netns list | grep -qw "lc-node$node"; then
    ip netns add "lc-node$node"
    ip link add "lcv$node" type veth peer name eth0 netns "lc-node$node"
    ip link set "lcv$node" master lc-br up
    in_node "$node" ip addr add "$ip/16" dev eth0
    in_node "$node" ip link set eth0 up
    in_node "$node" ip link set lo up
    in_node "$node" ip route add default via "$HOST_IP"
    in_node "$node" sysctl -qw net.ipv4.ip_forward=1
  fi
  ip route replace "10.244.$node.0/24" via "$ip"
  for other in $(nodes); do
    [ "$other" = "$node" ] && continue
    in_node "$node" ip route replace "10.244.$other.0/24" via "$(node_ip "$other")"
    in_node "$other" ip route replace "10.244.$node.0/24" via "$ip" 2>/dev/null || true
  done
}

# cgroups NODE: the kubelet wants its root to be there, with every controller (version 1: a tree each; version 2: one)
cgroups() {
  local tree root=/sys/fs/cgroup
  if [ -f "$root/cgroup.controllers" ]; then
    for tree in $(cat "$root/cgroup.controllers"); do echo "+$tree" >"$root/cgroup.subtree_control" 2>/dev/null || true; done
    mkdir -p "$root/lc-node$1"
    return
  fi
  for tree in "$root"/*/; do mkdir -p "${tree}lc-node$1" 2>/dev/null || true; done
  [ -e "$root/cpuset/lc-node$1/cpuset.cpus" ] || return 0
  cat "$root/cpuset/cpuset.cpus" >"$root/cpuset/lc-node$1/cpuset.cpus"
  cat "$root/cpuset/cpuset.mems" >"$root/cpuset/lc-node$1/cpuset.mems"
}

# node_files NODE
node_files() {
  local node=$1 home=$DIR/nodes/node$1
  mkdir -p "$home"/{cni/conf,ctd,kubelet,pods}
  cat >"$home/cni/conf/10-bridge.conflist" <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true, "ipam": {
    "type": "host-local", "ranges": [[{"subnet": "10.244.$node.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$home/cni/ipam"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
  cat >"$home/ctd/config.toml" <<END
version = 2
root = "$home/ctd/root"
state = "$home/ctd/state"
[grpc]
  address = "$home/ctd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  # Machines without CAP_SYS_RESOURCE may not lower an oom score.
  restrict_oom_score_adj = true
  sandbox_image = "docker.io/local/pause:1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$home/cni/conf"
END
  cat >"$home/kubelet/config.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: $DIR/pki/ca.crt}, webhook: {enabled: true}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /lc-node$node
failCgroupV1: false
clusterDNS: ["$HOST_IP"]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$home/ctd.sock
failSwapOn: false
enforceNodeAllocatable: []
resolvConf: ""
podLogsDir: $home/pods
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 2s
END
}

# start_node NODE: or what is missing of it
start_node() {
  local node=$1 home=$DIR/nodes/node$1 zone
  node_files "$node"
  link_node "$node"
  cgroups "$node"
  run_bg "containerd$node" nsenter --net="/var/run/netns/lc-node$node" containerd --config "$home/ctd/config.toml"
  await 20 ctr_on "$node" version || die "containerd did not answer: $DIR/log/containerd$node.log"
  ctr_on "$node" images ls -q | grep -q local/pause || ctr_on "$node" images import "$CACHE/images/pause.tar" >/dev/null
  zone=$(echo a b c | cut -d' ' -f$(((node - 1) % 3 + 1)))
  run_bg "kubelet$node" nsenter --net="/var/run/netns/lc-node$node" "$BIN/kubelet" --config="$home/kubelet/config.yaml" \
    --kubeconfig="$DIR/admin.conf" --root-dir="$home/kubelet/root" --hostname-override="node$node" --node-ip="$(node_ip "$node")" \
    --node-labels="topology.kubernetes.io/zone=zone-$zone"
  run_bg "proxy$node" nsenter --net="/var/run/netns/lc-node$node" "$BIN/kube-proxy" --kubeconfig="$DIR/admin.conf" \
    --hostname-override="node$node" --proxy-mode=iptables --cluster-cidr=10.244.0.0/16 \
    --healthz-bind-address=127.0.0.1:10256 --metrics-bind-address=127.0.0.1:10249 \
    --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0
}

node_cut() { known_node "${1:-}"; ip link set "lcv$1" down; }
node_heal() { known_node "${1:-}"; ip link set "lcv$1" up; }

# lose NODE: as if its power were gone
node_lose() {
  known_node "${1:-}"
  local node=$1 each
  ip link set "lcv$node" down
  for each in kubelet containerd proxy; do
    is_running "$each$node" && kill -9 "$(pid_of "$each$node")" || true
    rm -f "$DIR/pid/$each$node"
  done
  end_containers "$node"
}

node_join() {
  [[ ${1:-} =~ ^[1-9]$ ]] || die 'join needs the number of a node'
  start_node "$1"
  ip link set "lcv$1" up
  await 90 node_is_ready "$1" || die "node$1 did not join: $DIR/log/kubelet$1.log"
  storage
}

node_is_ready() { kubectl get node "node$1" --no-headers 2>/dev/null | grep -qw Ready; }

# end_containers NODE: shims and all below them; those of other nodes have another socket
end_containers() {
  local pid
  for pid in $(pgrep -f "containerd-shim-runc-v2.*-address $DIR/nodes/node$1/ctd.sock" || true); do
    pgrep -P "$pid" | xargs -r kill -9 2>/dev/null || true
    kill -9 "$pid" 2>/dev/null || true
  done
}

# pod_pids NAMESPACE/NAME: the first process of each of its containers, on whatever node it is
pod_pids() {
  local space=${1%%/*} name=${1#*/} node id
  for node in $(nodes); do
    for id in $(ctr_on "$node" containers ls -q "labels.\"io.kubernetes.pod.name\"==$name,labels.\"io.kubernetes.pod.namespace\"==$space,labels.\"io.cri-containerd.kind\"==container" 2>/dev/null); do
      { ctr_on "$node" tasks ls 2>/dev/null || true; } | awk -v id="$id" '$1 == id && $3 == "RUNNING" {print $2}'
    done
  done
}

signal_pod() {
  local pids
  pids=$(pod_pids "$2")
  [ -n "$pids" ] || die "no process of pod $2"
  # shellcheck disable=SC2086
  kill "-$1" $pids
}
freeze() { signal_pod STOP "${1:?NAMESPACE/POD}"; }
thaw() { signal_pod CONT "${1:?NAMESPACE/POD}"; }
