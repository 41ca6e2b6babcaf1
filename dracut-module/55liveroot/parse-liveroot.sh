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

# A node that only jobs of the initqueue make: Ventoy's, LVM's, MD's. They run until it is there,
# or, so that the page comes and not "Could not boot.", until dracut's patience ends.
_lr_node=${_lr_claim#ours}
_lr_node=${_lr_node# }
if [ -n "$_lr_node" ]; then
    : > /lib/dracut/need-initqueue
    # shellcheck disable=SC2016 # expanded when it is sourced
    printf '[ -e %s ] || [ "${main_loop:-0}" -ge "${RDRETRY:-360}" ]\n' "$_lr_node" \
        > "$hookdir/initqueue/finished/liveroot-node.sh"
fi

# dmsquash-live-autooverlay makes the partition that rd.overlay=LABEL= names: before us, when the
# link to the medium is there, and for at most 20 s.
if [ -x /sbin/create-overlay ]; then
    _lr_overlay=$(getarg rd.overlay || getarg rd.live.overlay)
    _lr_link=$(getarg root=)
    _lr_link=${_lr_link#live:}
    _lr_link=$(label_uuid_to_dev "$(printf %s "$_lr_link" | sed 's/^CDLABEL=/LABEL=/')")
    case $_lr_overlay,$_lr_link in
        # The words of others are no code: only what needs no quotes.
        *[!A-Za-z0-9_.,=:/-]*) ;;
        LABEL=*,/dev/*)
            : > /lib/dracut/need-initqueue
            # Not the link: it is gone for a moment after parted has had the disk open, and the
            # script then does not find the label.
            # shellcheck disable=SC2016
            printf '[ ! -e %s ] || { rm -f -- "$job"; /sbin/create-overlay "$(readlink -f %s)"; : > /tmp/liveroot-overlay; }\n' \
                "$_lr_link" "$_lr_link" > "$hookdir/initqueue/settled/liveroot-overlay.sh"
            # shellcheck disable=SC2016
            printf '[ -e /tmp/liveroot-overlay ] || [ "${main_loop:-0}" -gt 40 ]\n' \
                > "$hookdir/initqueue/finished/liveroot-overlay.sh"
            ;;
    esac
fi

# shellcheck disable=SC2034 # dracut reads them
root=liveroot rootok=1
unset _lr_claim _lr_link _lr_node _lr_overlay
