#!/usr/bin/env bash
# prometheus.sh promtool|prometheus: prints where that program is. One that is not on the PATH is taken
# out of Debian's package `prometheus` into .tools/bin. The package itself is not installed: it would
# start a service. Where there is no apt-get, need.sh has its say.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=$1
kept=$PWD/.tools/bin/$program
if command -v "$program"; then exit 0; fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  scripts/need.sh "$program" prometheus >&2
  exec bash -c 'command -v "$1"' - "$program"
fi

if [ ! -x "$kept" ]; then
  echo "taking $program out of the package prometheus (once)" >&2
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  chmod 755 "$work" # apt drops its rights for downloads
  fetch() { (cd "$work" && apt-get download -qq prometheus) >"$work/log" 2>&1; }
  if ! fetch; then
    # The lists of packages may be missing or old; to get them takes root.
    update=(apt-get update -qq)
    [ "$(id -u)" -eq 0 ] || update=(sudo -n "${update[@]}")
    "${update[@]}" >&2 || echo 'apt-get update was not complete; trying all the same' >&2
    fetch || {
      cat "$work/log" >&2
      printf '%s is needed and not on the PATH, and apt-get could not download its package.\n' "$program" >&2
      printf 'Put %s (of Prometheus 2.42 or newer) on the PATH and run this again.\n' "$program" >&2
      exit 1
    }
  fi
  dpkg-deb -x "$work"/prometheus_*.deb "$work/root"
  mkdir -p .tools/bin
  # A new name first: whoever runs at the same time sees the whole program or none.
  cp "$work/root/usr/bin/$program" "$kept.$$"
  mv "$kept.$$" "$kept"
fi
"$kept" --version >/dev/null 2>&1 || {
  echo "$kept does not run on this system; put $program on the PATH and run this again" >&2
  exit 1
}
echo "$kept"
