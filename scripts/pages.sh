#!/usr/bin/env bash
# pages.sh BINARY DIR: writes what is packaged beside a binary of this machine's platform: man/ and
# completions/. The same source gives the same files.
set -euo pipefail

[ $# -eq 2 ] || { echo 'usage: scripts/pages.sh BINARY DIR' >&2; exit 2; }
eval "$("$(dirname "${BASH_SOURCE[0]}")/source.sh")"
binary=$(realpath "$1")
mkdir -p "$2/completions"
"$binary" man --dir "$2/man"
for shell in bash zsh fish; do
  "$binary" completion $shell >"$2/completions/headgate.$shell"
done
