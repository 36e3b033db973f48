#!/bin/sh
# Says which of the given backups (YYYY-MM-DD, the newest first) to keep: the three
# newest, and the first of each month.
. /usr/local/lib/strict.sh

[ $# -gt 0 ] || die "usage: retention DATE..."
n=0
for date; do
	n=$((n + 1))
	case $date in
	????-??-01) echo "keep $date" ;;
	????-??-??) if [ $n -le 3 ]; then echo "keep $date"; else echo "drop $date"; fi ;;
	*) die "$date is no date" ;;
	esac
done
