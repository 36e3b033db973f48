#!/bin/sh
# Run with the program that was built.
set -eu
for want in "0 Berlin Berlin" "1 Berlin Leipzig" "2 Berlin Hamburg" "3 Hamburg Munich"; do
	set -- "$1" $want
	got=$("$1" "$3" "$4")
	[ "$got" = "zone $2" ] || { echo "$3 to $4: $got, want zone $2"; exit 1; }
done
