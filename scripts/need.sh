#!/usr/bin/env bash
# need.sh PROGRAM PACKAGE...: makes sure that PROGRAM is on the PATH, and installs the
# packages when it is not: with apt-get as root or through sudo, or with Homebrew. Where neither is
# possible it says what to do and fails. Quiet when there is nothing to do.
set -euo pipefail

program=$1
shift
packages=("$@") # as Debian calls them
command -v "$program" >/dev/null && exit 0

remedy() {
  printf '%s is needed and not on the PATH, and %s.\nInstall it (%s on Debian and Ubuntu) and run this again.\n' \
    "$program" "$1" "${packages[*]}" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif [ -t 0 ] && [ -z "${CI:-}" ]; then
    sudo "$@"
  else
    sudo -n "$@" # without a terminal there is nobody to ask for a password
  fi
}

if command -v apt-get >/dev/null; then
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || remedy 'neither root nor sudo is there to install it'
  echo "installing ${packages[*]}, for $program"
  export DEBIAN_FRONTEND=noninteractive
  # One unreachable source does not keep the others from having the package.
  as_root apt-get update -qq || echo 'apt-get update was not complete; trying all the same' >&2
  as_root apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >/dev/null ||
    remedy 'apt-get could not install it'
elif command -v brew >/dev/null; then
  case $program in redis-server) packages=(redis) ;; esac
  echo "installing ${packages[*]}, for $program"
  brew install --quiet "${packages[@]}" || remedy 'brew could not install it'
else
  remedy 'there is no package manager here that this script knows (apt-get, brew)'
fi

hash -r
command -v "$program" >/dev/null || remedy 'it is still missing after its package was installed'
