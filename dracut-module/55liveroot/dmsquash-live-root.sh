#!/bin/sh
# The name by which livenet, anaconda and Ventoy call for a live root: `dmsquash-live-root DEVICE`
# or FILE. A script, and no `set -e` in line 2, for Ventoy inserts a command there
# (ventoy-hook.sh) that may fail.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
[ -n "${1-}" ] || exit 1
# shellcheck source=/dev/null
command -v getcmdline > /dev/null 2>&1 || . /lib/dracut-lib.sh
# shellcheck source=/dev/null
. /lib/liveroot-lib.sh

case ${root-} in
    # anaconda-lib.sh, anaconda_mount_sysroot, leaves a hook that stacks the layers at $NEWROOT
    # itself: all but that mount stays, for two would share one upper.
    anaconda-*)
        if [ ! -e /run/liveroot/left.json ]; then
            liveroot_step "$1" || exit 1
            umount "$NEWROOT"
        fi
        ;;
    *) liveroot_step "$1" || exit 1 ;;
esac
liveroot_alone
# What those who called wait for.
[ -h /dev/root ] || ln -s null /dev/root
exit 0
