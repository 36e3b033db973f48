# Run as root with the new tree and a directory to lay over it: clean what differs between runs.
root=$1
overlay=$2

rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb
rm -rf "$root"/var/log/* "$root"/var/cache/ldconfig/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
rm -rf "$root"/debootstrap "$root"/etc/machine-id "$root"/var/lib/dbus/machine-id
rm -f "$root"/etc/hostname "$root"/etc/resolv.conf "$root"/etc/apt/sources.list
# The number of days since 1970 at which each user's password was set.
sed -i -E 's/^([^:]*:[^:]*):[0-9]+:/\1:0:/' "$root"/etc/shadow
rm -f "$root"/etc/shadow- "$root"/etc/passwd- "$root"/etc/group- "$root"/etc/gshadow-
mkdir -p "$root"/var/lib/apt/lists/partial "$root"/var/log/apt
cp -r "$overlay"/. "$root"/
chown -R 0:0 "$root"/etc/apt "$root"/etc/dpkg
# A package must not start a service while an image is built.
printf '#!/bin/sh\nexit 101\n' > "$root"/usr/sbin/policy-rc.d
chmod 755 "$root"/usr/sbin/policy-rc.d
