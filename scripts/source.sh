#!/usr/bin/env bash
# Prints what a build says of its source, as assignments for a shell:
#   eval "$(scripts/source.sh)"
# VERSION is the tag (v1.2.3), or the nearest one with commits since, or the commit; REVISION is
# the commit, and SOURCE_DATE_EPOCH its time, which stands wherever a build needs a date: the same
# source gives the same files. What is in the environment already is kept.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'export %s=%q\n' "$1" "$2"; }
say VERSION "${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}"
say REVISION "${REVISION:-$(git rev-parse HEAD 2>/dev/null || true)}"
say SOURCE_DATE_EPOCH "${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
