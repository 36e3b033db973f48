#!/bin/sh
# A stand-in for BuildKit's SBOM scanner: it follows the scanner's protocol, and its
# packages are the names of the files at the root of what it was given. Stages and
# contexts that are scanned besides lie side by side in a directory of their own.
set -eu
for source in "$BUILDKIT_SCAN_SOURCE" "${BUILDKIT_SCAN_SOURCE_EXTRAS:-/nowhere}"/*; do
  [ -d "$source" ] || continue
  name=$(basename "$source")
  packages=$(ls "$source" | sed 's/.*/{"name":"&","SPDXID":"SPDXRef-&"}/' | paste -sd, -)
  cat > "$BUILDKIT_SCAN_DESTINATION/$name.spdx.json" <<EOT
{"predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"$name","packages":[$packages]}}
EOT
done
