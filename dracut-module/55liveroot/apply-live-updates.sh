#!/bin/sh
# Merges /updates (anaconda's, livenet's) and the medium's `updates` over the live root, as
# dmsquash-live does. Sourced by dracut at pre-pivot.

# shellcheck disable=SC2154 # dracut's own
if [ -e /run/liveroot/left.json ] && { [ -d /updates ] || [ -d /run/initramfs/live/updates ] || [ -d /run/liveroot/updates ]; }; then
    info "Applying updates to live image..."
    # Links of the root may lead there.
    mount -o bind /run "$NEWROOT/run"
    for _lr_dir in /updates /run/initramfs/live/updates /run/liveroot/updates; do
        [ -d "$_lr_dir" ] || continue
        (
            cd "$_lr_dir" || exit 0
            # Directories first, by mkdir: a link to a directory in the root stays a link.
            find . -depth -type d -exec mkdir -p "$NEWROOT/{}" \;
            find . -depth ! -type d -exec cp -a "{}" "$NEWROOT/{}" \;
        )
    done
    umount "$NEWROOT/run"
    unset _lr_dir
fi
