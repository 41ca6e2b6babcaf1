//! The command lines that are measured: ours, and what people run today.

use crate::product::Product;
use std::path::Path;
use std::process::Command;

/// As good as the default, or soon done. Both pack with zstd and blocks of 128 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Level 15.
    Usual,
    /// Level 3, `--fast`.
    Fast,
}

impl Effort {
    fn level(self) -> &'static str {
        match self {
            Effort::Usual => "15",
            Effort::Fast => "3",
        }
    }
}

/// The date of everything that both write.
const EPOCH: &str = "1700000000";

/// mksquashfs, then its hash tree behind it, the ISO, and its checksum. `$1` tree, `$2` level,
/// `$3` output, `$4` scratch. The ISO lacks what people add by hand: a kernel image for UEFI
/// in the ESP, a menu, an initramfs; that is to the peer's advantage.
const CHAIN: &str = r#"
mkdir -p "$4/iso/LiveOS" "$4/iso/boot"
payload=$4/iso/LiveOS/squashfs.img
mksquashfs "$1" "$payload" -comp zstd -Xcompression-level "$2" -b 128K -noappend -quiet -no-progress
length=$(stat -c %s "$payload")
veritysetup format --hash-offset="$length" --salt=00 \
    --uuid=00000000-0000-0000-0000-000000000001 "$payload" "$payload"
for kernel in "$1"/boot/vmlinuz-*; do cp "$kernel" "$4/iso/boot/vmlinuz"; done
truncate -s 31M "$4/esp"
mkfs.vfat --invariant "$4/esp"
xorriso -as mkisofs -r -J -V BENCH \
    -append_partition 2 C12A7328-F81F-11D2-BA4B-00A0C93EC93B "$4/esp" -appended_part_as_gpt \
    -partition_offset 16 \
    -eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot \
    -o "$3" "$4/iso"
implantisomd5 --force "$3"
rm -rf "$4/iso" "$4/esp"
"#;

/// `liveroot pack`.
pub fn ours(product: &Product, effort: Effort, tree: &Path, output: &Path) -> Command {
    let mut command = Command::new(product.program());
    command.arg("pack").arg(tree).arg("-o").arg(output);
    finish(command, effort)
}

/// `liveroot build`.
pub fn ours_whole(product: &Product, effort: Effort, tree: &Path, output: &Path) -> Command {
    let mut command = Command::new(product.program());
    command.args(["build", "--label", "BENCH"]);
    command.arg(tree).arg("-o").arg(output);
    finish(command, effort)
}

fn finish(mut command: Command, effort: Effort) -> Command {
    if effort == Effort::Fast {
        command.arg("--fast");
    }
    command.env("SOURCE_DATE_EPOCH", EPOCH);
    command
}

/// mksquashfs with the same options.
pub fn mksquashfs(effort: Effort, tree: &Path, output: &Path) -> Command {
    let mut command = Command::new("mksquashfs");
    command.args([tree, output]);
    command.args(["-comp", "zstd", "-Xcompression-level", effort.level()]);
    command.args(["-b", "128K", "-noappend", "-quiet", "-no-progress"]);
    command.env("SOURCE_DATE_EPOCH", EPOCH);
    command
}

/// All steps to an ISO with a hash tree and a checksum.
pub fn chain(effort: Effort, tree: &Path, output: &Path, scratch: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-euc", CHAIN, "sh"]);
    command
        .arg(tree)
        .arg(effort.level())
        .arg(output)
        .arg(scratch);
    command.env("SOURCE_DATE_EPOCH", EPOCH);
    command
}
