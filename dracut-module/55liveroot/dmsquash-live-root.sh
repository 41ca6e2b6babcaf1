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

liveroot_step "$1" || exit 1
liveroot_alone
# What those who called wait for.
[ -h /dev/root ] || ln -s null /dev/root
exit 0
