#!/usr/bin/env bash
# Builds the tools of `make lint` into .tools/bin, each at the version pinned here, and
# skips those that are there already. The versions are ones that build with the Go of
# go.mod; golangci-lint must be built with a Go no older than the code it reads.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=(
  'github.com/golangci/golangci-lint/v2/cmd/golangci-lint v2.15.0'
  'helm.sh/helm/v3/cmd/helm v3.20.2'
  'golang.org/x/vuln/cmd/govulncheck v1.8.0'
)

GOBIN=$PWD/.tools/bin
export GOBIN
mkdir -p "$GOBIN"
go=$(go env GOVERSION)

# current BINARY VERSION: it was built from that version, with this Go.
current() {
  [ -x "$1" ] && go version -m "$1" 2>/dev/null | awk -v want="$2" -v go="$go" '
    NR == 1     { built = ($NF == go) }
    $1 == "mod" { right = ($3 == want) }
    END         { exit !(built && right) }'
}

for tool in "${tools[@]}"; do
  read -r package version <<<"$tool"
  name=${package##*/}
  current "$GOBIN/$name" "$version" && continue
  echo "building $name $version (a minute or two, once)"
  # Outside the module: its go.mod has no say. A second try covers a broken download.
  (cd / && { go install "$package@$version" || go install "$package@$version"; }) ||
    { echo "$name $version could not be built; are Go modules reachable?" >&2; exit 1; }
done
