#!/bin/sh
# Copies what the chart cloudnative-pg needs from the operator's module, in the version that go.mod pins.
set -eu
cd "$(dirname "$0")"
go mod download github.com/cloudnative-pg/cloudnative-pg
module=$(go list -m -f '{{.Dir}}' github.com/cloudnative-pg/cloudnative-pg)
files=../../charts/cloudnative-pg/files

rm -rf "$files/crds"
mkdir -p "$files/crds"
install -m 644 "$module"/config/crd/bases/*.yaml "$files/crds"
# The lists begin below these lines; what is before belongs to the objects around them.
sed '1,/^rules:$/d' "$module/config/rbac/role.yaml" >"$files/rules.yaml"
sed '1,/^  queries: |$/d; s/^    //' "$module/config/manager/default-monitoring.yaml" >"$files/queries.yaml"
