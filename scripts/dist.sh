#!/usr/bin/env bash
# Makes into dist/ what a release has of this machine's platform, without goreleaser: the binary, its
# SBOM, manual pages and completions. A release of all platforms is made by goreleaser (.goreleaser.yaml).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

eval "$(scripts/source.sh)"
scripts/build.sh dist/headgate
scripts/sbom.sh dist/headgate dist/headgate.cdx.json
scripts/pages.sh dist/headgate dist
