#!/usr/bin/env bash
# Makes sure that redis-server is there: the tests start private ones.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/need.sh" redis-server redis-server
