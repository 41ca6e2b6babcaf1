#!/bin/bash
# dracut's module of liveroot: docs/dracut.md. Its number is of the range for others' modules and
# below dmsquash-live's (90, 70 since 108): the first file at a destination stays.

# Where packages put the agent.
liveroot_agent=/usr/lib/liveroot/liveroot-init

# Only on request; in host-only initramfs too, for live media serve many hosts.
check() {
    [[ -x ${dracutsysrootdir-}$liveroot_agent ]] || return 1
    return 255
}

depends() {
    echo base
}

installkernel() {
    # What a medium is on and in, whatever this host has.
    hostonly='' instmods \
        loop squashfs erofs overlay iso9660 udf vfat exfat nls_cp437 nls_iso8859-1 nls_ascii nls_utf8 \
        ext4 xfs btrfs f2fs crc32c_generic crc32c_intel crc32_generic crc32_pclmul \
        xhci-pci ehci-pci ohci-pci uhci-hcd usb-storage uas sd_mod sr_mod \
        ahci ata_piix ata_generic nvme mmc_block sdhci-pci sdhci-acpi \
        virtio_pci virtio_blk virtio_scsi
}

# shellcheck disable=SC2154 # moddir and systemdutildir are dracut's own
install() {
    inst_simple "$liveroot_agent" /usr/bin/liveroot-init
    inst_hook cmdline 28 "$moddir/parse-liveroot.sh"
    inst_hook pre-mount 10 "$moddir/mount-liveroot.sh"
    # A generator runs before any hook: dmsquash-live's would make systemd wait for its device.
    if dracut_module_included dmsquash-live; then
        inst_script "$moddir/nothing.sh" "$systemdutildir/system-generators/dracut-dmsquash-generator"
    fi
}
