#!/usr/bin/env bash
# sbom.sh BINARY FILE: writes what is in a binary as a CycloneDX SBOM, from what the compiler noted in
# it: modules with versions and checksums. The tool is pinned in deploy/check/go.mod. An image gets its own from BuildKit (scripts/image.sh).
set -euo pipefail

[ $# -eq 2 ] || { echo 'usage: scripts/sbom.sh BINARY FILE' >&2; exit 2; }
binary=$(realpath "$1")
mkdir -p "$(dirname "$2")"
file=$(realpath "$(dirname "$2")")/$(basename "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
eval "$(scripts/source.sh)"
# Neither serial number nor time: the same binary gives the same file.
go -C deploy/check tool cyclonedx-gomod bin -json -std -noserial -notimestamp -version "$VERSION" -output "$file" "$binary"
