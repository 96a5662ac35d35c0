#!/usr/bin/env bash
# Runs every test under the race detector and closes with `N passed, N failed`.
# Arguments go to `go test`; without any, all packages are tested.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

race=-race
export CGO_ENABLED=1
read -r compiler _ <<<"$(go env CC)"
if ! command -v "$compiler" >/dev/null && ! scripts/need.sh "$compiler" gcc libc6-dev; then
  echo 'NOTE: no C compiler, so the race detector is off' >&2
  race=
  CGO_ENABLED=0
fi
[ $# -gt 0 ] || set -- ./...

go test -json ${race:+"$race"} -count=1 -timeout 20m "$@" | go run scripts/testsum.go
