# The whole cluster: up, what runs, down.

up() {
  need_root
  local count=${1:-1} node
  [[ $count =~ ^[1-9]$ ]] || die 'up takes a number of nodes from 1 to 9'
  for node in kube-apiserver kubelet coredns; do [ -x "$BIN/$node" ] || die "$node is not built: cluster.sh build"; done
  mkdir -p "$DIR"/{log,pid,nodes}
  pause_image
  certificates
  [ -f "$DIR/admin.conf" ] || write_kubeconfig "$DIR/admin.conf"
  bridge
  start_etcd
  start_apiserver
  start_controllers
  start_dns
  for node in $(seq "$count"); do start_node "$node"; done
  for node in $(seq "$count"); do
    await 90 node_is_ready "$node" || die "node$node did not join: $DIR/log/kubelet$node.log"
  done
  storage
  await 30 kubectl get serviceaccount default || die 'the controllers did not make the default ServiceAccount'
  echo "$DIR/admin.conf"
}

status() {
  local file
  for file in "$DIR"/pid/*; do
    [ -e "$file" ] || { echo "nothing runs in $DIR"; return; }
    if is_running "${file##*/}"; then echo "${file##*/} runs"; else echo "${file##*/} has ended"; fi
  done
}

down() {
  need_root
  local node pids names=() inode file
  stop volumes
  for node in $(nodes); do names+=("kubelet$node" "proxy$node"); done
  stop "${names[@]}" coredns scheduler controller-manager
  # A node whose containerd has ended tells nothing.
  pids=$(for node in $(nodes); do { ctr_on "$node" tasks ls 2>/dev/null || true; } | awk 'NR > 1 {print $2}'; done)
  inode=$(for node in $pids; do stat -Lc %i "/proc/$node/ns/net" 2>/dev/null || true; done)
  for node in $(nodes); do end_containers "$node"; done
  names=()
  for node in $(nodes); do names+=("containerd$node"); done
  stop "${names[@]}" apiserver etcd
  awk -v dir="$DIR/" 'index($2, dir) == 1 {print $2}' /proc/mounts | sort -r | while read -r file; do umount -l "$file" || true; done
  for file in /run/netns/cni-*; do
    [ -e "$file" ] && grep -qx "$(stat -Lc %i "$file")" <<<"$inode" && ip netns del "${file##*/}" 2>/dev/null || true
  done
  for node in $(nodes); do
    ip netns del "lc-node$node" 2>/dev/null || true
    ip link del "lcv$node" 2>/dev/null || true
    ip route del "10.244.$node.0/24" 2>/dev/null || true
    find /sys/fs/cgroup -depth -type d -path "*/lc-node$node*" -exec rmdir {} + 2>/dev/null || true
  done
  ip link del lc-br 2>/dev/null || true
  iptables -D FORWARD -i lc-br -o lc-br -j ACCEPT 2>/dev/null || true
  # Links that the kubelets made to logs of pods that are gone.
  find /var/log/containers -lname "$DIR/*" -delete 2>/dev/null || true
  rm -rf "$DIR"
}
