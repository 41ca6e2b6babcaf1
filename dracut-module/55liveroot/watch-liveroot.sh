#!/bin/sh
# Starts `watch` in a live system whose init is not systemd; with systemd a unit is left. In
# dracut's own systemd mode nothing that is started here would outlive the switch.

# shellcheck disable=SC2154 # dracut's own
if [ -z "${DRACUT_SYSTEMD-}" ] && [ -e /run/liveroot/left.json ] \
    && [ ! -e /run/systemd/system/liveroot-watch.service ]; then
    liveroot-init watch --enter "$NEWROOT"
fi
