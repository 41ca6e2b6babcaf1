#!/bin/sh
# The last of `cleanup` by its name. MD, LVM, crypt and multipath ask for dracut's shutdown; at the
# end of the live system it would be unpacked from /boot, and when that fails, as it does where
# there is no initramfs, /run/initramfs/shutdown is removed: ours, which closes the saved changes.
[ ! -e /run/liveroot/left.json ] || rm -f /run/initramfs/.need_shutdown
