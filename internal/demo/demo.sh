#!/usr/bin/env bash
# What `make demo` shows: examples/http-server is built into an image and a program, and the program is run.
# Runs under cmd/standins, which serves the base images. The engine's state is kept under .cache/demo, so
# that a second run finds every step done; the engine itself is stopped at the end, because the mirror it
# was started with ends too.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=$root/.cache/demo/out
export HBUILD_ENGINE=private HBUILD_ENGINE_ROOT=$root/.cache/demo/engine
hbuild=$root/bin/hbuild
example=$root/examples/http-server

say() { printf '\n== %s\n' "$*"; }

"$hbuild" engine stop >/dev/null 2>&1 || true # one that an interrupted demo left
trap '"$hbuild" engine stop >/dev/null' EXIT
mkdir -p "$out"

say "the image: hbuild build prod -o type=oci,dest=http-server.tar"
"$hbuild" -C "$example" build prod -o "type=oci,dest=$out/http-server.tar" --metadata-file "$out/prod.json"

say "the program: hbuild build bin"
"$hbuild" -C "$example" build bin --metadata-file "$out/bin.json"

say "the same as a Dockerfile: hbuild emit dockerfile prod"
"$hbuild" -C "$example" emit dockerfile prod

say "what was built"
ls -l "$out/http-server.tar" "$example/bin/server"

say "the page it serves"
"$example/bin/server" -self-test

steps=$(sed -n 's/^  "steps_run": \([0-9]*\).*/\1/p' "$out/prod.json" "$out/bin.json" | paste -sd+ | { read -r sum; echo $((sum)); })
say "$steps steps run (a step that nothing changed for is not run again)"
