#!/usr/bin/env bash
# Writes what is made from the code: the JSON Schemas of the YAML files (schemas/), the
# reference pages (docs/reference/), whatever `go generate` makes, and what the chart has of
# these and of its own values.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go generate ./...
mkdir -p schemas
go run . schema --dir schemas
go run . reference --dir docs/reference
go -C deploy/helm/check run ./generate "$PWD"
