#!/bin/sh
# Claims root= when it names a live medium. Sourced by dracut, before livenet (29) and
# dmsquash-live (30): `return`, never `exit`.

# shellcheck disable=SC2154 # root, hookdir: dracut's own
case $root in
    # The installer's, which calls /sbin/dmsquash-live-root itself.
    anaconda-*) return 0 ;;
esac

# The words themselves: other hooks may have rewritten $root.
_lr_claim=$(getcmdline | liveroot-init claim)
[ -n "$_lr_claim" ] || return 0

# shellcheck source=/dev/null
. /lib/liveroot-lib.sh
liveroot_alone
# livenet's to fetch; it calls /sbin/dmsquash-live-root.
[ "$_lr_claim" != net ] || return 0

# The older form: dracut's generator has taken the link of udev for the root, and would wait for
# it without looking at what is on the device.
case $(getarg root=) in
    live:*) ;;
    *)
        _lr_link=$(label_uuid_to_dev "$(getarg root=)")
        _lr_link=$(str_replace "$_lr_link" / '\x2f')
        rm -f -- "$hookdir/initqueue/finished/devexists-$_lr_link.sh" "$hookdir/emergency/80-$_lr_link.sh"
        ;;
esac

# What the agent understood; nothing in it needs quotes but a backslash.
_lr_device='' _lr_overlay=''
for _lr_word in $_lr_claim; do
    case $_lr_word in
        overlay=*) _lr_overlay=${_lr_word#overlay=} ;;
        *=*) _lr_device=${_lr_word#*=} ;;
    esac
    case $_lr_word in
        # A node that only jobs of the initqueue make: Ventoy's, LVM's, MD's.
        node=*)
            liveroot_queue
            liveroot_wait "$hookdir/initqueue/finished/liveroot-node.sh" "$_lr_device"
            [ -e "$_lr_device" ] || warn "liveroot waits for $_lr_device, as long as rd.retry says"
            ;;
        # A link may lead to such a node: liveroot-rules.sh sees whether there are such jobs.
        link=*)
            liveroot_wait /tmp/liveroot-link.sh "$_lr_device" " || { . /lib/liveroot-lib.sh; liveroot_idle; }"
            ;;
    esac
done

# dmsquash-live-autooverlay makes the partition that rd.overlay=LABEL= names: before us, when the
# medium is there, and for at most 20 s. With the node: it has parted open the disk and then blkid
# look at the partition, whose link udev takes away meanwhile; and a second time when that fails.
if [ -x /sbin/create-overlay ]; then
    case $_lr_overlay,$_lr_device in
        LABEL=*,/dev/*)
            liveroot_queue
            # shellcheck disable=SC2016
            printf "if [ -e '%s' ] && { /sbin/create-overlay \"\$(readlink -f '%s')\" || ! mkdir /tmp/liveroot-again 2> /dev/null; }
then rm -f -- \"\$job\"; : > /tmp/liveroot-overlay; fi\n" \
                "$_lr_device" "$_lr_device" > "$hookdir/initqueue/settled/liveroot-overlay.sh"
            # shellcheck disable=SC2016
            printf '[ -e /tmp/liveroot-overlay ] || [ "${main_loop:-0}" -gt 40 ]\n' \
                > "$hookdir/initqueue/finished/liveroot-overlay.sh"
            ;;
    esac
fi

# shellcheck disable=SC2034 # dracut reads them
root=liveroot rootok=1
unset _lr_claim _lr_word _lr_link _lr_device _lr_overlay
