#!/bin/sh
# Claims root= when it names a live medium. Sourced by dracut, before livenet (29) and
# dmsquash-live (30): `return`, never `exit`.

# The word itself: other hooks may have rewritten $root.
_lr_root=$(getarg root=)
case $_lr_root in
    # livenet's to fetch
    live:*://* | live:nfs*) return 0 ;;
    live:*) ;;
    # The older form.
    LABEL=* | CDLABEL=* | UUID=* | PARTUUID=* | PARTLABEL=* | /dev/*)
        getargbool 0 rd.live.image || getargbool 0 liveimg || return 0
        ;;
    *) return 0 ;;
esac

# What dmsquash-live and overlayfs would do a second time.
# shellcheck disable=SC2154 # dracut's own
rm -f -- "$hookdir"/cmdline/30-parse-dmsquash-live.sh "$hookdir"/pre-udev/30-dmsquash-live*-genrules.sh \
    "$hookdir"/mount/01-mount-overlayfs.sh "$hookdir"/pre-mount/01-prepare-overlayfs.sh

# shellcheck disable=SC2034 # dracut reads them
root=liveroot rootok=1
