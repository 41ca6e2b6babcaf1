#!/bin/sh
# The name by which Ventoy sees that iso-scan/filename= will be followed (ventoy-os-lib.sh). The
# step at pre-mount follows it, without mounting what it searches; nothing is left to do here.
# Where dmsquash-live is in the initramfs its own file is here, for roots that are not ours.
exit 0
