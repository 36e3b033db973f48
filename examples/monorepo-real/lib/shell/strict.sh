# What all scripts begin with: errors end them, and messages have their name.
set -eu

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}
