#!/usr/bin/env bash
# Writes what is made from the code: the JSON Schemas of the YAML files (schemas/), and
# whatever `go generate` makes, such as the reference pages (docs/reference/).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go generate ./...
mkdir -p schemas
go run . schema --dir schemas
