#!/bin/sh
# Run with the program that was built.
set -eu
got=$("$1" 2026-03-04 2026-03-03 2026-03-02 2026-03-01 2026-02-28 2026-02-01 | grep -c keep)
[ "$got" = 5 ] || { echo "$got are kept, want 5"; exit 1; }
if "$1" yesterday 2>/dev/null; then echo "yesterday is a date"; exit 1; fi
