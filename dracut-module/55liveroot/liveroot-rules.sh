#!/bin/sh
# Before udev starts, and after all hooks of `cmdline`: looks whether rules or jobs of others may
# make the device, and leaves a rule for Ventoy.

# shellcheck disable=SC2154 # dracut's own
if [ "$root" = liveroot ]; then
    # LVM's, MD's, crypt's and dmraid's rules queue jobs when they see a part. Without such, a link
    # of udev is the agent's to await.
    if [ -e /tmp/liveroot-link.sh ]; then
        # shellcheck source=/dev/null
        . /lib/liveroot-lib.sh
        if liveroot_jobs || [ -n "$(sed -n '/initqueue.*--\(settled\|timeout\)/p' \
            /etc/udev/rules.d/*.rules /lib/udev/rules.d/*.rules /usr/lib/udev/rules.d/*.rules \
            2> /dev/null)" ]; then
            liveroot_queue
            mv /tmp/liveroot-link.sh "$hookdir/initqueue/finished/liveroot-link.sh"
        else
            rm -f /tmp/liveroot-since
        fi
    fi
    # The file in which Ventoy looks for dmsquash-live's command, and which it runs when it has
    # made /dev/ventoy (ventoy-inotifyd-hook.sh). No device has the name in the rule, so udev does
    # nothing with it: liveroot's step at pre-mount is first, and the command finds the root there.
    if [ ! -e /etc/udev/rules.d/99-live-squash.rules ]; then
        mkdir -p /etc/udev/rules.d
        printf '%s\n' \
            '# The name of dmsquash-live, for those who look for it; see liveroot-rules.sh.' \
            'KERNEL=="liveroot/none", RUN+="/sbin/initqueue --settled --onetime --unique /sbin/dmsquash-live-root /dev/ventoy"' \
            > /etc/udev/rules.d/99-live-squash.rules
    fi
fi
