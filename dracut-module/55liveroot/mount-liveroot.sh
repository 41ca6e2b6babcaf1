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
        # In short once more: the text of the shell has moved the page away.
        _lr_why=
        [ ! -r /run/liveroot/failure ] || read -r _lr_why < /run/liveroot/failure
        emergency_shell "No live root: ${_lr_why:-see dmesg}. The page again: cat /run/liveroot/failure"
    fi
fi
