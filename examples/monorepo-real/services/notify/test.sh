#!/bin/sh
# Run with the program that was built.
set -eu
[ "$(NOTIFY_TO=me "$1" P1 carried | tr '\n' '|')" = "To: me|Your parcel P1 is on its way.|" ] || { echo "a wrong message"; exit 1; }
if "$1" P1 eaten 2>/dev/null; then echo "a wrong status is taken"; exit 1; fi
