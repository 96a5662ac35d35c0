#!/usr/bin/env bash
# Fails when schemas/, docs/reference/ or the chart are not what `make generate` makes them.
# It compares with what lies there, committed or not, and puts that back.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

made=(schemas docs/reference deploy/helm/headgate)
before=$(mktemp -d)
restore() {
  for dir in "${made[@]}"; do
    rm -rf "$dir"
    [ ! -d "$before/$dir" ] || cp -Rp "$before/$dir" "$dir"
  done
  rm -rf "$before"
}

for dir in "${made[@]}"; do
  mkdir -p "$before/$(dirname "$dir")"
  [ ! -d "$dir" ] || cp -Rp "$dir" "$before/$dir"
done
trap restore EXIT

scripts/generate.sh
stale=0
for dir in "${made[@]}"; do
  [ -d "$dir" ] || [ -d "$before/$dir" ] || continue
  diff -ruN "$before/$dir" "$dir" || stale=1
done
[ $stale -eq 0 ] || { echo 'generated files are stale: run `make generate` and commit what it writes' >&2; exit 1; }
