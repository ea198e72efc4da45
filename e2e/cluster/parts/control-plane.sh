# Certificates, etcd, API server, controllers, scheduler and name service, all as processes of this machine.

certificates() {
  [ -f "$DIR/pki/done" ] && return 0
  mkdir -p "$DIR/pki"
  (
    cd "$DIR/pki"
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout ca.key -out ca.crt -subj /CN=local-cluster 2>/dev/null
    sign apiserver /CN=kube-apiserver \
      "IP:127.0.0.1,IP:10.96.0.1,IP:$HOST_IP,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
    sign admin /O=system:masters/CN=admin DNS:admin
    openssl genrsa -out sa.key 2048 2>/dev/null
    openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
    touch done
  )
}

# sign NAME SUBJECT NAMES, in the folder of the authority
sign() {
  openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth' "$3") 2>/dev/null
}

# write_kubeconfig FILE
write_kubeconfig() {
  local set=(kubectl config "--kubeconfig=$1")
  "${set[@]}" set-cluster local --server="https://$HOST_IP:6443" --certificate-authority="$DIR/pki/ca.crt" --embed-certs >/dev/null
  "${set[@]}" set-credentials admin --client-certificate="$DIR/pki/admin.crt" --client-key="$DIR/pki/admin.key" --embed-certs >/dev/null
  "${set[@]}" set-context local --cluster=local --user=admin >/dev/null
  "${set[@]}" use-context local >/dev/null
}

start_etcd() {
  run_bg etcd etcd --data-dir "$DIR/etcd" --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:23790 --advertise-client-urls http://127.0.0.1:23790 \
    --listen-peer-urls http://127.0.0.1:23800 --initial-advertise-peer-urls http://127.0.0.1:23800 \
    --initial-cluster default=http://127.0.0.1:23800
}

# Who wrote what, without what was written: log/audit.log.
audit_policy() {
  cat >"$DIR/audit-policy.yaml" <<'END'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: Metadata, verbs: [create, update, patch, delete, deletecollection], userGroups: ["system:serviceaccounts"]}
  - {level: None}
END
}

start_apiserver() {
  audit_policy
  run_bg apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:23790 --service-cluster-ip-range=10.96.0.0/16 \
    --secure-port=6443 --bind-address=0.0.0.0 --advertise-address="$HOST_IP" \
    --client-ca-file="$DIR/pki/ca.crt" --tls-cert-file="$DIR/pki/apiserver.crt" --tls-private-key-file="$DIR/pki/apiserver.key" \
    --service-account-key-file="$DIR/pki/sa.pub" --service-account-signing-key-file="$DIR/pki/sa.key" \
    --service-account-issuer=https://kubernetes.default.svc --authorization-mode=Node,RBAC --allow-privileged \
    --kubelet-client-certificate="$DIR/pki/admin.crt" --kubelet-client-key="$DIR/pki/admin.key" \
    --kubelet-preferred-address-types=InternalIP \
    --audit-policy-file="$DIR/audit-policy.yaml" --audit-log-path="$DIR/log/audit.log"
  await 60 kubectl get --raw /readyz || die "the API server did not become ready: $DIR/log/apiserver.log"
}

# One of each, which goes on when the API server was away. Kubernetes waits 40 seconds before it says that a node is gone;
# here 12, so that a test does not wait either.
start_controllers() {
  run_bg controller-manager "$BIN/kube-controller-manager" --kubeconfig="$DIR/admin.conf" --root-ca-file="$DIR/pki/ca.crt" \
    --service-account-private-key-file="$DIR/pki/sa.key" --use-service-account-credentials --leader-elect=false \
    --node-monitor-period=2s --node-monitor-grace-period=12s \
    --cluster-signing-cert-file="$DIR/pki/ca.crt" --cluster-signing-key-file="$DIR/pki/ca.key"
  run_bg scheduler "$BIN/kube-scheduler" --kubeconfig="$DIR/admin.conf" --leader-elect=false
}

start_dns() {
  cat >"$DIR/Corefile" <<END
.:53 {
  bind $HOST_IP
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $DIR/admin.conf
    pods insecure
  }
  cache 2
}
END
  run_bg coredns "$BIN/coredns" -conf "$DIR/Corefile"
}
