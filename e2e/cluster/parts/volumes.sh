# A default StorageClass over folders of this machine. A volume whose claim went is emptied and offered again, as a
# provisioner would delete it and make another.

storage() {
  local node number
  for node in $(nodes); do
    for number in $(seq "${CLUSTER_VOLUMES:-16}"); do install -d -m 0777 "$DIR/nodes/node$node/volumes/v$number"; done
  done
  { storage_class; for node in $(nodes); do for number in $(seq "${CLUSTER_VOLUMES:-16}"); do volume "$node" "$number"; done; done; } |
    kubectl apply -f - >/dev/null
  run_bg volumes "$HERE/cluster.sh" recycle
}

storage_class() {
  cat <<'END'
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
END
}

# volume NODE NUMBER
volume() {
  cat <<END
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: node$1-v$2}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  persistentVolumeReclaimPolicy: Retain
  local: {path: "$DIR/nodes/node$1/volumes/v$2"}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node$1]}]
END
}

# Runs beside the cluster; a watch ends when the API server does, so it is begun again.
recycle_volumes() {
  local name phase path
  while :; do
    kubectl get pv --watch --no-headers -o custom-columns=N:.metadata.name,P:.status.phase,L:.spec.local.path 2>/dev/null |
      while read -r name phase path; do
        [ "$phase" = Released ] || continue
        case $path in "$DIR"/nodes/node*/volumes/v*) ;; *) continue ;; esac
        # Told twice of the same volume, the second patch finds nothing to take away.
        find "$path" -mindepth 1 -delete &&
          kubectl patch pv "$name" --type=json -p '[{"op":"remove","path":"/spec/claimRef"}]' 2>&1 || true
      done || true
    sleep 1
  done
}
