#!/bin/sh
# A stand-in for BuildKit's SBOM scanner: it follows the scanner's protocol, and its
# packages are the names of the files at the root of what it was given.
set -eu
name=$(basename "$BUILDKIT_SCAN_SOURCE")
packages=$(ls "$BUILDKIT_SCAN_SOURCE" | sed 's/.*/{"name":"&","SPDXID":"SPDXRef-&"}/' | paste -sd, -)
cat > "$BUILDKIT_SCAN_DESTINATION/$name.spdx.json" <<EOF
{"predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"$name","packages":[$packages]}}
EOF
