#!/bin/sh
# Mounts the live root. Sourced by dracut, once, before anything else looks for a root: with
# systemd this is before sysroot.mount and initrd-root-fs.target, so both find it there.

# shellcheck disable=SC2154 # dracut's own
if [ "$root" = liveroot ] && ! ismounted "$NEWROOT"; then
    # shellcheck source=/dev/null
    . /lib/liveroot-lib.sh
    if liveroot_step; then
        # As dmsquash-live: hooks of others take it for "the root is there". dracut removes it.
        [ -h /dev/root ] || ln -s null /dev/root
    else
        emergency_shell "No live root; the reason is above and in /run/liveroot/report.json"
    fi
fi
