# shellcheck shell=sh
# Sourced by demo, test and bench: brings a Debian machine that has only Rust and git
# to where the runner runs, says what it installs and why, and builds the runner.

# One package a line, then what it is for. `liveroot build` runs none of these programs: it takes
# systemd's stub and menu and isolinux's files, and the rest makes trees and drives or judges.
needed='qemu-system-x86 the machine under test
ovmf its UEFI firmware
seabios its BIOS
mmdebstrap makes the Debian tree
squashfs-tools a judge of payloads (unsquashfs), and images of other makers (mksquashfs)
xorriso a judge of ISOs, and ISOs of another maker
dosfstools a judge of EFI partitions (fsck.fat), and FAT on drives of test guests (mkfs.fat)
mtools a judge of files in FAT, and what puts some there
binutils a judge of unified kernel images (objcopy, objdump), and the linker
gcc compiles the C library for zstd that liveroot links
libc6-dev the static C library
systemd-boot-efi menu and kernel stub for UEFI, onto media
isolinux boot code for BIOS, onto media
syslinux-common the rest of it, and its menu
busybox-static user space of the test guests
cpio initramfs of the bench floor
zstd compressed kernels and the bench floor
xz-utils compressed kernels
make installs liveroot into test trees
kmod module dependencies of the test trees
debian-archive-keyring checks what is downloaded
fdisk partition tables (sfdisk)
gdisk partitions on drives of test guests (sgdisk)
e2fsprogs ext4 in them, and the check that images carry (e2fsck)
shellcheck lints of shell scripts'

# What tests of on-disk formats make their images with, and tests of saved changes check with.
needed_by_tests='btrfs-progs btrfs images
xfsprogs XFS images
f2fs-tools F2FS images
erofs-utils EROFS images
exfatprogs exFAT images
ntfs-3g NTFS images
udftools UDF images
genisoimage ISO images of another maker
cryptsetup-bin LUKS images
isomd5sum ISO images with an implanted checksum
libarchive-tools tar archives of another maker (bsdtar)
grub-common a GRUB that starts an ISO file on a disk (grub-mkstandalone)
grub-efi-amd64-bin its modules for UEFI'

# The other programs of the chain that `bench build` measures.
needed_by_bench='cryptsetup-bin hash trees (veritysetup)
isomd5sum checksums of ISO images (implantisomd5)'

# Named by whoever sources this.
: "${root:?}"

say() { printf 'qemu: %s\n' "$*" >&2; }

install_missing() {
    missing=''
    while read -r package why; do
        [ -n "$package" ] || continue
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=''
        [ "$state" = installed ] && continue
        say "installing $package: $why"
        missing="$missing $package"
    done <<LIST
$needed
LIST
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        say "these packages are missing and installing them needs root:$missing"
        exit 1
    fi
    # A qemu-utils from backports breaks Debian's own qemu-system-common; it is not named
    # here, for apt then gives up, and apt removes it by itself.
    state=$(dpkg-query -W -f '${db:Status-Status} ${Version}' qemu-utils 2>/dev/null) || state=''
    case $state in
    installed*) say "qemu-utils is installed (${state#installed }); where it does not fit Debian's QEMU, apt removes it" ;;
    esac
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # shellcheck disable=SC2086 # a list of names
    if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say "apt could not install them; its words are above, all of them in $log"
        exit 1
    fi
    rm -f "$log"
}

build_runner() {
    command -v cargo >/dev/null 2>&1 || PATH=$PATH:$HOME/.cargo/bin
    if ! command -v cargo >/dev/null 2>&1; then
        say 'cargo is not here: install Rust from https://rustup.rs'
        exit 1
    fi
    export PATH
    # Flags in the environment would replace those of .cargo/config.toml and the programs
    # would come out dynamic.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
    cargo build --quiet --manifest-path "$root/Cargo.toml" -p liveroot-qemu
}

# enter COMMAND [ARGUMENTS]: becomes the runner.
enter() {
    if [ "$1" = test ]; then
        needed="$needed
$needed_by_tests"
    fi
    if [ "$1" = bench ]; then
        needed="$needed
$needed_by_bench"
    fi
    install_missing
    build_runner
    target=${CARGO_TARGET_DIR:-$root/target}
    exec "$target/x86_64-unknown-linux-gnu/debug/liveroot-qemu" --source "$root" "$@"
}
