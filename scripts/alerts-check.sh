#!/usr/bin/env bash
# Checks what is for Prometheus and Grafana in deploy/: the configuration's syntax, the rules, the unit
# tests of the alerts, and each query of the dashboards. Nothing is started and nothing is sent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

promtool=$(scripts/prometheus.sh promtool)

# quiet COMMAND...: what it prints is of interest only when it fails.
quiet() {
  local out
  out=$("$@" 2>&1) || {
    printf '%s\n' "$out" >&2
    exit 1
  }
}

quiet "$promtool" check config --syntax-only deploy/prometheus/prometheus.yaml
quiet "$promtool" check rules deploy/prometheus/rules.yaml
quiet "$promtool" test rules deploy/prometheus/rules_test.yaml
PROMTOOL=$promtool quiet go test -count=1 ./deploy
echo 'promtool: configuration, rules, their tests and the queries of the dashboards: ok'
