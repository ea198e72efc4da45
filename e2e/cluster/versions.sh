# What the cluster is made of. A new version here is built beside the old one; go.mod names the one of Kubernetes too.
KUBE_VERSION=v1.34.4
HELM_VERSION=v3.19.0
HELM4_VERSION=v4.3.1
COREDNS_VERSION=v1.12.4
NODE_VERSION=24.21.0
NPM_VERSION=11.6.2
DEBIAN_SUITE=bookworm
KIND_VERSION=v0.30.0
