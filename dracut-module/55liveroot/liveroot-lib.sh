#!/bin/sh
# What several hooks of liveroot's do. Sourced.

# The step: finds the medium, or takes the device or file that is named, and mounts the root.
# Whoever comes second finds it there.
liveroot_step() {
    # dracut without systemd mounts it noexec, and the program that ends the live system is there.
    mount -o remount,exec /run
    getcmdline | liveroot-init dracut "$@"
}

# Takes away what dmsquash-live, its iso-scan and overlayfs would do a second time. Emptied, not
# removed: since 110 dracut lists the hooks of a stage before it sources them, and a missing one
# ends the shell.
# shellcheck disable=SC2154 # hookdir is dracut's own
liveroot_alone() {
    for _lr_hook in cmdline/30-parse-dmsquash-live.sh cmdline/31-parse-iso-scan.sh \
        pre-udev/30-dmsquash-live-genrules.sh pre-udev/30-dmsquash-liveiso-genrules.sh \
        pre-mount/01-prepare-overlayfs.sh pre-mount/02-prepare-overlayfs-crypt.sh \
        mount/01-mount-overlayfs.sh \
        pre-pivot/00-prepare-overlayfs.sh pre-pivot/01-prepare-overlayfs-crypt.sh \
        pre-pivot/10-mount-overlayfs.sh; do
        [ ! -e "$hookdir/$_lr_hook" ] || : > "$hookdir/$_lr_hook"
    done
    unset _lr_hook
}
