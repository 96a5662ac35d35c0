#!/usr/bin/env bash
# Lints the chart and renders it with its defaults and with each set of values in its
# ci/ folder. It needs no cluster.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

helm=.tools/bin/helm
[ -x $helm ] || scripts/tools.sh
chart=deploy/helm/headgate

# The oldest Kubernetes that the chart is for; helm would assume an older one.
kube=(--kube-version 1.30.0)

check() {
  "$helm" lint --strict --quiet "${kube[@]}" "$chart" "$@"
  "$helm" template headgate "$chart" --namespace headgate "${kube[@]}" "$@" >/dev/null
  echo "helm: $chart ${*:-with its defaults}: ok"
}

check
for values in "$chart"/ci/*.yaml; do
  check --values "$values"
done
