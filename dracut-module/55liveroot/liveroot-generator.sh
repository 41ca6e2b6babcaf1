#!/bin/sh
# systemd's generator, with the words as dracut reads them: Ventoy adds its own to getcmdline.
# shellcheck source=/dev/null
command -v getcmdline > /dev/null 2>&1 || . /lib/dracut-lib.sh
getcmdline | /usr/bin/liveroot-init generator "$@"
