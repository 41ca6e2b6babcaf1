#!/bin/sh
# What several hooks of liveroot's do. Sourced.

# The step: finds the medium, or takes the device or file that is named, and mounts the root.
# Whoever comes second finds it there.
# shellcheck disable=SC2154 # hookdir, main_loop: dracut's own
liveroot_step() {
    # dracut without systemd mounts it noexec, and the program that ends the live system is there.
    if [ -z "${DRACUT_SYSTEMD-}" ]; then
        while read -r _ _lr_at _ _lr_options _; do
            case $_lr_at,$_lr_options, in
                /run,*,noexec,*) mount -o remount,exec /run ;;
            esac
        done < /proc/mounts
    fi
    # What was waited in the initqueue is not waited again.
    if [ -e /tmp/liveroot-since ]; then
        read -r _lr_since < /tmp/liveroot-since
        set -- "--since=$_lr_since" "$@"
    fi
    getcmdline | liveroot-init dracut "$@"
}

# Has dracut's initqueue run under systemd: without it always does. The condition is one of ours,
# liveroot-initqueue.conf, for systemd 256 and later have /usr read-only in an initramfs, and
# dracut's own (/lib/dracut/need-initqueue) is made when the initramfs is.
liveroot_queue() {
    mkdir -p /run/initramfs
    : > /run/initramfs/liveroot-initqueue
}

# Has dracut's initqueue wait for a node, as a condition of its own in the file $1; or, so that
# the page comes and not "Could not boot.", until dracut's patience ends. $3: what ends it too.
liveroot_wait() {
    read -r _lr_since _ < /proc/uptime
    echo "${_lr_since%%.*}" > /tmp/liveroot-since
    # shellcheck disable=SC2016 # expanded when it is sourced
    printf "[ -e '%s' ] || [ \"\${main_loop:-0}\" -ge \"\${RDRETRY:-360}\" ]%s\n" "$2" "${3-}" > "$1"
}

# Whether the initqueue has something to do that may make a device, or udev has.
liveroot_jobs() {
    for _lr_job in "$hookdir"/initqueue/settled/*.sh "$hookdir"/initqueue/timeout/*.sh \
        /etc/dracut/hooks/initqueue/settled/*.sh /usr/lib/dracut/hooks/initqueue/settled/*.sh \
        /etc/dracut/hooks/initqueue/timeout/*.sh /usr/lib/dracut/hooks/initqueue/timeout/*.sh \
        /run/udev/queue; do
        case $_lr_job in
            # Ours; and those that never end, and make no device.
            */liveroot-*.sh | *-pollcdrom.sh | *-rootfallback.sh | *-btrfs_timeout.sh) ;;
            *) [ ! -e "$_lr_job" ] || return 0 ;;
        esac
    done
    return 1
}

# Whether it has had nothing to do for a whole round.
liveroot_idle() {
    if liveroot_jobs; then
        rm -f /tmp/liveroot-idle
        if [ "${main_loop:-0}" -ge 10 ] && [ ! -e /tmp/liveroot-said ]; then
            : > /tmp/liveroot-said
            warn "liveroot waits as long as rd.retry says: ${_lr_job##*/} may make its device"
        fi
        return 1
    fi
    [ -e /tmp/liveroot-idle ] || echo "${main_loop:-0}" > /tmp/liveroot-idle
    read -r _lr_round < /tmp/liveroot-idle
    [ "$_lr_round" -lt "${main_loop:-0}" ]
}

# Takes away what dmsquash-live, its iso-scan and overlayfs would do a second time. Emptied, not
# removed: since 110 dracut lists the hooks of a stage before it sources them, and a missing one
# ends the shell.
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
