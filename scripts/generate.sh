#!/usr/bin/env bash
# Writes what is made from the code: the JSON Schemas of the YAML files (schemas/), the
# reference pages (docs/reference/), and whatever `go generate` makes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go generate ./...
mkdir -p schemas
go run . schema --dir schemas
go run . reference --dir docs/reference
