#!/usr/bin/env bash
# Checks the chart without a cluster: lints it with each set of values in its ci/ folder,
# and runs the tests of deploy/helm/check, which render it, hold every object against the
# Kubernetes API types, and give its files to `headgate check`. They are a module of their own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

helm=.tools/bin/helm
lint=$PWD/.tools/bin/golangci-lint
[ -x $helm ] && [ -x "$lint" ] || scripts/tools.sh
chart=deploy/helm/headgate

for values in "$chart"/ci/*.yaml; do
  # The oldest Kubernetes that the chart is for; helm would assume another one.
  "$helm" lint --strict --quiet --kube-version 1.30.0 "$chart" --values "$values"
done
echo "helm: $chart: lint ok with $(printf '%s ' "$chart"/ci/*.yaml | xargs -n1 basename | xargs)"

promtool=$(scripts/prometheus.sh promtool)
cd deploy/helm/check
go mod verify >/dev/null
go vet ./...
"$lint" run ./...
PROMTOOL=$promtool go test -count=1 ./... # what helm reads is not seen by the cache of tests
