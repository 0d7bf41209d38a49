#!/bin/sh
# Builds peyk-local and the programs that it starts, all static, into a directory: build.sh OUTDIR
set -eu
out=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")"
export CGO_ENABLED=0

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
stamp="-X k8s.io/component-base/version.gitVersion=$version"
stamp="$stamp -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
stamp="$stamp -X k8s.io/component-base/version.gitCommit= -X k8s.io/component-base/version.gitTreeState=clean"

build() { # PROGRAM PACKAGE
    go build -ldflags "-s -w $stamp" -o "$out/$1" "$2"
}
build peyk-local ./cmd/peyk-local
build peyk-local-kube ./cmd/peyk-local-kube
build containerd ./cmd/containerd
build containerd-shim-runc-v2 github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2
build coredns ./cmd/coredns
build pause ./cmd/pause
# A module of its own, for its pins and ours do not agree. It is the S3 server beside the cluster, and that of the tests.
cd s3
build versitygw github.com/versity/versitygw/cmd/versitygw
