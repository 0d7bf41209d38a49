#!/bin/sh
# Builds the stock command line of Flux into the folder $1. The module's zip lacks the manifests that the program embeds
# for `flux install`, which nothing here uses; an empty one takes their place.
set -eu
out=$1
cd "$(dirname "$0")"
go mod download github.com/fluxcd/flux2/v2
version=$(go list -m -f '{{.Version}}' github.com/fluxcd/flux2/v2)
module=$(go list -m -f '{{.Dir}}' github.com/fluxcd/flux2/v2)
if [ "$("$out/flux" version --client 2>/dev/null)" = "flux: $version" ]; then
	exit 0
fi
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
cp -R "$module/." "$source"
chmod -R u+w "$source"
mkdir -p "$source/cmd/flux/manifests"
echo '# not part of the module' > "$source/cmd/flux/manifests/none.yaml"
cd "$source"
go build -buildvcs=false -trimpath -ldflags "-s -w -X main.VERSION=${version#v}" -o "$out/flux" ./cmd/flux
