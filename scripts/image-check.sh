#!/usr/bin/env bash
# Checks what Headgate is shipped with, without an engine: the Dockerfile, deploy/compose and the
# configuration of releases, by the tests of deploy/check. As root on Linux they also build the image and run the
# containers, in namespaces; elsewhere they say that they do not. COLD=1 builds the binary a
# second time without anything of the first, which takes minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lint=$PWD/.tools/bin/golangci-lint
[ -x "$lint" ] || scripts/tools.sh
if [ "$(uname)" = Linux ] && [ "$(id -u)" -eq 0 ]; then
  scripts/redis.sh
  scripts/need.sh ip iproute2
  scripts/need.sh nsenter util-linux
  scripts/need.sh wget wget # the health check of Prometheus's image
fi

cd deploy/check
go mod verify >/dev/null
go vet ./...
"$lint" run ./...
# What they read is not seen by the cache of tests. What was not run is said.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
go test -count=1 -v ./... >"$log" 2>&1 || { cat "$log"; exit 1; }
grep -E 'not run|not started|^ok' "$log"
