#!/bin/sh
# build.sh FILE: builds the static binary the way it is released, for GOOS and GOARCH when they are
# set. It is the same for `make build`, the Dockerfile and CI. VERSION and REVISION come from
# scripts/source.sh, or from where there is no Git: the Dockerfile's arguments.
#
# The same source, version, revision and Go give the same bytes, wherever and whenever: no paths
# (-trimpath), no state of a work tree (-buildvcs), no dates. .goreleaser.yaml has the same flags.
set -eu

cd "$(dirname "$0")/.."
: "${VERSION:=dev}" "${REVISION:=}"
of=headgate/internal/cli
CGO_ENABLED=0 exec go build -trimpath -buildvcs=false -mod=readonly \
  -ldflags "-s -w -X $of.version=$VERSION -X $of.revision=$REVISION" -o "$1" .
