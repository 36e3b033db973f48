#!/bin/sh
# Run with the program that was built.
set -eu
tour=$("$1" Berlin Munich Hamburg Leipzig | cut -d' ' -f1 | tr '\n' ' ')
[ "$tour" = "Berlin Leipzig Hamburg Munich 1055 " ] || { echo "the tour is $tour"; exit 1; }
if "$1" Atlantis 2>/dev/null; then echo "Atlantis has a depot"; exit 1; fi
