#!/usr/bin/env bash
# image.sh [--push NAME:TAG | --load NAME:TAG]: builds the image with Docker's BuildKit. Without an
# option it writes an OCI archive for amd64 and arm64 to dist/headgate-image.tar; --push
# sends both to a registry, --load gives this machine's to the local engine. With an SBOM of each
# layer and the provenance of the build beside the image. The same commit gives the same layers:
# version, revision and every time are those of the source (scripts/source.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

eval "$(scripts/source.sh)"
CREATED=$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ 2>/dev/null || date -u -r "$SOURCE_DATE_EPOCH" +%FT%TZ)
SOURCE=${SOURCE:-$(git remote get-url origin 2>/dev/null | grep -E '^https://[^@]*$' || true)} # nothing with a password in it

arguments=()
for name in VERSION REVISION CREATED SOURCE SOURCE_DATE_EPOCH; do
  arguments+=(--build-arg "$name=${!name}")
done
attest=(--sbom=true --provenance=mode=max)
platforms=(--platform "${PLATFORMS:-linux/amd64,linux/arm64}")
case ${1:-} in
--push) output=(--tag "$2" --output type=registry,rewrite-timestamp=true) ;;
--load) # an engine's own store takes one platform, and no attestations
  output=(--tag "$2" --output type=docker,rewrite-timestamp=true)
  attest=(--provenance=false)
  platforms=()
  ;;
'')
  mkdir -p dist
  output=(--output type=oci,dest=dist/headgate-image.tar,rewrite-timestamp=true)
  ;;
*)
  echo 'usage: scripts/image.sh [--push NAME:TAG | --load NAME:TAG]' >&2
  exit 2
  ;;
esac
exec ${DOCKER:-docker} buildx build "${platforms[@]}" "${arguments[@]}" "${attest[@]}" "${output[@]}" .
