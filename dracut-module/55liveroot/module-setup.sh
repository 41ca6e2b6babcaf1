#!/bin/bash
# dracut's module of liveroot: docs/dracut.md. Its number is of the range for others' modules and
# below dmsquash-live's (90, 70 since 108) and livenet's: the first file at a destination stays,
# so what is installed here stands where theirs would.

# Where packages put the agent.
liveroot_agent=/usr/lib/liveroot/liveroot-init

# Only on request; in host-only initramfs too, for live media serve many hosts.
check() {
    if [[ ! -x ${dracutsysrootdir-}$liveroot_agent ]]; then
        derror "liveroot: $liveroot_agent is missing or no program; install liveroot anew"
        return 1
    fi
    return 255
}

# initqueue is a module since 108, before that a part of base: naming it then fails the build.
# shellcheck disable=SC2154 # dracutbasedir is dracut's own
depends() {
    local -a initqueue=("$dracutbasedir"/modules.d/[0-9][0-9]initqueue)
    echo base
    [[ ! -d ${initqueue[0]} ]] || echo initqueue
}

# shellcheck disable=SC2154 # kernel is dracut's own
installkernel() {
    local needed
    # Without one of them no live root is mounted. Built in counts.
    for needed in loop squashfs overlay; do
        hostonly='' instmods -c -s "$needed" && continue
        dfatal "liveroot: Linux $kernel has no $needed, neither as a module nor built in"
        exit 1
    done
    # What a medium is on and in, whatever this host has. What the kernel lacks is no error.
    hostonly='' instmods \
        erofs iso9660 udf vfat exfat ntfs3 ext4 xfs btrfs f2fs \
        nls_cp437 nls_iso8859-1 nls_ascii nls_utf8 \
        crc32c_generic crc32c_intel crc32_generic crc32_pclmul crc32c libcrc32c \
        xhci-pci xhci-plat-hcd ehci-pci ehci-platform ohci-pci ohci-platform uhci-hcd \
        usb-storage uas sd_mod sr_mod \
        ahci ata_piix ata_generic pata_acpi nvme vmd \
        mmc_block sdhci-pci sdhci-acpi rtsx_pci_sdmmc rtsx_usb_sdmmc \
        virtio_pci virtio_mmio virtio_blk virtio_scsi \
        hv_storvsc vmw_pvscsi mptspi xen-blkfront
}

# shellcheck disable=SC2154 # moddir, systemdutildir and systemdsystemunitdir are dracut's own
install() {
    local generators=$systemdutildir/system-generators
    inst_simple "$liveroot_agent" /usr/bin/liveroot-init
    inst_simple "$moddir/liveroot-lib.sh" /lib/liveroot-lib.sh
    # find and cp are for updates only, in the manner of dmsquash-live.
    inst_multiple mount umount ln find cp mkdir mv rm sed
    inst_hook cmdline 28 "$moddir/parse-liveroot.sh"
    inst_hook pre-udev 30 "$moddir/liveroot-rules.sh"
    inst_hook pre-mount 10 "$moddir/mount-liveroot.sh"
    # Its number and name are those of dmsquash-live's hook, which so is not there twice.
    inst_hook pre-pivot 20 "$moddir/apply-live-updates.sh"
    inst_hook cleanup 90 "$moddir/watch-liveroot.sh"
    inst_hook cleanup 99 "$moddir/zz-liveroot-shutdown.sh"
    inst_script "$moddir/dmsquash-live-root.sh" /sbin/dmsquash-live-root
    # Theirs works for roots that are not ours: anaconda's, kiwi's. For ours it is not called.
    dracut_module_included dmsquash-live || dracut_module_included kiwi-live \
        || inst_script "$moddir/iso-scan.sh" /sbin/iso-scan
    # systemd-initrd until 107.
    if dracut_module_included systemd || dracut_module_included systemd-initrd; then
        inst_script "$moddir/liveroot-generator.sh" "$generators/liveroot-generator"
        inst_simple "$moddir/liveroot-initqueue.conf" \
            "$systemdsystemunitdir/dracut-initqueue.service.d/liveroot.conf"
        # All generators run at once, and theirs write the same file: with a device, for which
        # systemd would wait 50 minutes.
        inst_script "$moddir/nothing.sh" "$generators/dracut-dmsquash-generator"
        inst_script "$moddir/nothing.sh" "$generators/dracut-livenet-generator"
    fi
}
