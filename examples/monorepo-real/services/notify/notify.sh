#!/bin/sh
# Prints the message to a customer: notify PARCEL STATUS
. /usr/local/lib/strict.sh

[ $# -eq 2 ] || die "usage: notify PARCEL STATUS"
case $2 in
accepted) text="We have your parcel $1." ;;
carried) text="Your parcel $1 is on its way." ;;
delivered) text="Your parcel $1 is there. Thank you." ;;
*) die "unknown status $2" ;;
esac
echo "To: ${NOTIFY_TO:-the customer}"
echo "$text"
