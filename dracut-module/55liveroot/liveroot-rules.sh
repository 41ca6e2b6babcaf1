#!/bin/sh
# Leaves the file in which Ventoy looks for dmsquash-live's command, and which it runs when it has
# made /dev/ventoy (ventoy-inotifyd-hook.sh). No device has the name in the rule, so udev does
# nothing with it: liveroot's step at pre-mount is first, and the command finds the root there.

# shellcheck disable=SC2154 # dracut's own
if [ "$root" = liveroot ] && [ ! -e /etc/udev/rules.d/99-live-squash.rules ]; then
    mkdir -p /etc/udev/rules.d
    printf '%s\n' \
        '# The name of dmsquash-live, for those who look for it; see liveroot-rules.sh.' \
        'KERNEL=="liveroot/none", RUN+="/sbin/initqueue --settled --onetime --unique /sbin/dmsquash-live-root /dev/ventoy"' \
        > /etc/udev/rules.d/99-live-squash.rules
fi
