//! The twelve images: six as they should be, in the layouts that are in use
//! (lorax's A, archiso's B, live-build's C), and six with one mistake each.

use super::program;
use crate::fail;
use crate::tool;
use crate::trouble::{Result, While};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const ISOHDPFX: &str = "/usr/lib/ISOLINUX/isohdpfx.bin";
const ESP_GUID: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const APPENDED: &str = "--interval:appended_partition_2:all::";
const SECTOR: u64 = 512;
const DISC_SECTOR: u64 = 2048;
const MIB: u64 = 1 << 20;

/// How the ISO is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Valid GPT, the ESP appended; with a BIOS's entry and boot code, or without.
    A { bios: bool },
    /// An MBR without fence, the ESP appended.
    B,
    /// The ESP within the ISO, nested partitions.
    C,
    /// For a BIOS alone.
    Bios,
}

/// What the ESP is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Esp {
    /// FAT16 of 4 MiB.
    Small,
    /// FAT16 of 40 MiB, the loader behind 34.
    Large,
    /// FAT32 that counts far too few clusters; mtools refuses to fill one, so it shrinks after.
    Fat32,
    /// Without EFI/BOOT/BOOTX64.EFI.
    NoFallback,
}

/// What is changed afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    None,
    /// The boot entry's count keeps its low 16 bits only.
    CutCount,
    /// The fence's type becomes 0.
    NoFence,
    /// Partition 1 reaches into the ESP.
    Overlap,
    /// A byte of the catalogue's validation entry.
    CatalogueSum,
}

/// One image.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Short.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    layout: Layout,
    esp: Esp,
    edit: Edit,
    /// The ways that work.
    pub starts: &'static [&'static str],
}

const EVERY: &[&str] = &["uefi-dvd", "uefi-stick", "bios-dvd", "bios-stick"];
const UEFI: &[&str] = &["uefi-dvd", "uefi-stick"];

/// All of them.
pub const ALL: [Image; 12] = [
    image(
        "a",
        "our own layout: a valid GPT, the ESP behind the ISO",
        Layout::A { bios: false },
        Esp::Small,
        Edit::None,
        UEFI,
    ),
    image(
        "a-bios",
        "the same with isolinux's code",
        Layout::A { bios: true },
        Esp::Small,
        Edit::None,
        EVERY,
    ),
    image(
        "b",
        "archiso: an MBR without fence",
        Layout::B,
        Esp::Small,
        Edit::None,
        EVERY,
    ),
    image(
        "c",
        "live-build: an MBR without fence, partitions nested",
        Layout::C,
        Esp::Small,
        Edit::None,
        EVERY,
    ),
    image(
        "bios",
        "isolinux alone",
        Layout::Bios,
        Esp::Small,
        Edit::None,
        &["bios-dvd", "bios-stick"],
    ),
    image(
        "large-esp",
        "an ESP of 40 MiB, counted as 0",
        Layout::A { bios: false },
        Esp::Large,
        Edit::None,
        UEFI,
    ),
    image(
        "count-cut",
        "the count of a large ESP cut to 16 bits",
        Layout::A { bios: false },
        Esp::Large,
        Edit::CutCount,
        &["uefi-stick"],
    ),
    image(
        "no-fence",
        "a GPT without protective MBR",
        Layout::A { bios: true },
        Esp::Small,
        Edit::NoFence,
        EVERY,
    ),
    image(
        "overlap",
        "partitions that overlap",
        Layout::A { bios: false },
        Esp::Small,
        Edit::Overlap,
        &["uefi-dvd"],
    ),
    image(
        "fat32-small",
        "a FAT32 below the floor of clusters",
        Layout::A { bios: false },
        Esp::Fat32,
        Edit::None,
        &[],
    ),
    image(
        "no-fallback",
        "no EFI/BOOT/BOOTX64.EFI in the ESP",
        Layout::A { bios: true },
        Esp::NoFallback,
        Edit::None,
        &["bios-dvd", "bios-stick"],
    ),
    image(
        "catalogue-sum",
        "a catalogue that does not validate",
        Layout::A { bios: true },
        Esp::Small,
        Edit::CatalogueSum,
        &["uefi-stick", "bios-dvd", "bios-stick"],
    ),
];

const fn image(
    name: &'static str,
    about: &'static str,
    layout: Layout,
    esp: Esp,
    edit: Edit,
    starts: &'static [&'static str],
) -> Image {
    Image {
        name,
        about,
        layout,
        esp,
        edit,
        starts,
    }
}

impl Image {
    /// Makes it below `dir`.
    pub fn make(&self, dir: &Path) -> Result<PathBuf> {
        let (tree, esp, iso) = (dir.join("tree"), dir.join("esp.img"), dir.join("image.iso"));
        for path in ["EFI/BOOT", "isolinux", "boot"] {
            fs::create_dir_all(tree.join(path))?;
        }
        fs::write(tree.join("EFI/BOOT/BOOTX64.EFI"), program::efi())?;
        fs::write(tree.join("isolinux/isolinux.bin"), program::bios())?;
        self.esp
            .make(&esp, &tree.join("EFI/BOOT/BOOTX64.EFI"), dir)?;
        if self.layout == Layout::C {
            fs::copy(&esp, tree.join("boot/efi.img"))?;
        }
        let mut command = Command::new("xorriso");
        command.args([
            "-no_rc", "-as", "mkisofs", "-quiet", "-V", "JUDGED", "-r", "-J", "-no-pad",
        ]);
        command.arg("-o").arg(&iso).args(["-c", "boot/boot.cat"]);
        if self.layout != (Layout::A { bios: false }) {
            command.args([
                "-b",
                "isolinux/isolinux.bin",
                "-no-emul-boot",
                "-boot-load-size",
                "4",
            ]);
        }
        match self.layout {
            Layout::A { bios } => {
                command
                    .args([
                        "-partition_offset",
                        "16",
                        "-append_partition",
                        "2",
                        ESP_GUID,
                    ])
                    .arg(&esp);
                command.arg("-appended_part_as_gpt");
                let alone: &[&str] = if bios {
                    &["-eltorito-alt-boot"]
                } else {
                    &["-eltorito-platform", "efi"]
                };
                command.args(alone).args(["-e", APPENDED, "-no-emul-boot"]);
            }
            Layout::B => {
                command
                    .args([
                        "-isohybrid-mbr",
                        ISOHDPFX,
                        "-partition_offset",
                        "16",
                        "-append_partition",
                        "2",
                        "0xef",
                    ])
                    .arg(&esp);
                command.args(["-eltorito-alt-boot", "-e", APPENDED, "-no-emul-boot"]);
            }
            Layout::C => {
                command.args([
                    "-isohybrid-mbr",
                    ISOHDPFX,
                    "-eltorito-alt-boot",
                    "-e",
                    "boot/efi.img",
                    "-no-emul-boot",
                    "-isohybrid-gpt-basdat",
                ]);
            }
            Layout::Bios => {
                command.args(["-isohybrid-mbr", ISOHDPFX]);
            }
        }
        tool::run(command.arg(&tree))?;
        let file = File::options().read(true).write(true).open(&iso)?;
        if self.layout == (Layout::A { bios: true }) {
            add_isohdpfx(&file)?;
        }
        self.edit.apply(&file)?;
        fs::remove_dir_all(&tree)?;
        fs::remove_file(&esp)?;
        Ok(iso)
    }
}

impl Esp {
    fn make(self, to: &Path, loader: &Path, dir: &Path) -> Result<()> {
        let size = match self {
            Esp::Large | Esp::Fat32 => 40 * MIB,
            Esp::Small | Esp::NoFallback => 4 * MIB,
        };
        File::create(to)?.set_len(size)?;
        let bits = if self == Esp::Fat32 { "32" } else { "16" };
        let cluster = if self == Esp::Large { "4" } else { "1" };
        tool::run(
            Command::new("mkfs.fat")
                .args(["--invariant", "-i", "4c520001", "-F", bits, "-s", cluster])
                .arg(to),
        )?;
        let mtools = |program: &str, words: &[&str], from: Option<&Path>, target: &str| {
            let mut command = Command::new(program);
            command
                .args(["-i".as_ref(), to.as_os_str()])
                .args(words)
                .args(from)
                .arg(target);
            tool::run(&mut command)
        };
        if self == Esp::Large {
            let filler = dir.join("filler");
            File::create(&filler)?.set_len(34 * MIB)?;
            mtools("mcopy", &[], Some(&filler), "::FILLER")?;
            fs::remove_file(&filler)?;
        }
        mtools("mmd", &["::EFI"], None, "::EFI/BOOT")?;
        let target = match self {
            Esp::NoFallback => "::EFI/BOOT/OTHER.EFI",
            _ => "::EFI/BOOT/BOOTX64.EFI",
        };
        mtools("mcopy", &[], Some(loader), target)?;
        if self == Esp::Fat32 {
            // BPB_TotSec32 of the boot sector and of its copy (FAT specification 1.03).
            let file = File::options().write(true).open(to)?;
            for sector in [0, 6] {
                let half = (20 * MIB / SECTOR) as u32;
                file.write_all_at(&half.to_le_bytes(), sector * SECTOR + 0x20)?;
            }
        }
        Ok(())
    }
}

fn read(file: &File, at: u64, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at)
        .doing(format!("reading byte {at} of an image"))?;
    Ok(bytes)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    u32::from_le_bytes(four).into()
}

/// Where the boot catalogue is, bytes (El Torito 1.0, figure 7).
fn catalogue(file: &File) -> Result<u64> {
    Ok(number(&read(file, 17 * DISC_SECTOR, 2048)?, 71) * DISC_SECTOR)
}

/// isolinux's code, and the sector that it loads, in front of a protective MBR.
fn add_isohdpfx(file: &File) -> Result<()> {
    let code = fs::read(ISOHDPFX).doing(format!("reading {ISOHDPFX}"))?;
    let default = read(file, catalogue(file)? + 32, 32)?;
    let target = number(&default, 8) * (DISC_SECTOR / SECTOR);
    file.write_all_at(&code[..432], 0)?;
    Ok(file.write_all_at(&target.to_le_bytes(), 432)?)
}

impl Edit {
    fn apply(self, file: &File) -> Result<()> {
        match self {
            Edit::None => Ok(()),
            Edit::CutCount => {
                let at = catalogue(file)? + 32;
                let count = (40 * MIB / SECTOR) as u16;
                Ok(file.write_all_at(&count.to_le_bytes(), at + 6)?)
            }
            Edit::NoFence => {
                if read(file, 446 + 4, 1)? != [0xee] {
                    fail!("the image has no fence to take away");
                }
                Ok(file.write_all_at(&[0], 446 + 4)?)
            }
            Edit::CatalogueSum => {
                let at = catalogue(file)? + 6;
                let byte = read(file, at, 1)?[0];
                Ok(file.write_all_at(&[byte ^ 1], at)?)
            }
            Edit::Overlap => {
                let last = file.metadata()?.len() / SECTOR - 1;
                for header in [1, last] {
                    overlap(file, header * SECTOR)?;
                }
                Ok(())
            }
        }
    }
}

/// Lets partition 1 end behind partition 2's start, with sums that hold (UEFI 2.11, 5.3.2).
fn overlap(file: &File, at: u64) -> Result<()> {
    let mut header = read(file, at, 512)?;
    if !header.starts_with(b"EFI PART") {
        fail!("no GPT header at byte {at}");
    }
    let place = number(&header, 72) * SECTOR;
    let length = (number(&header, 80) * number(&header, 84)) as usize;
    let mut entries = read(file, place, length)?;
    let second = number(&entries, 128 + 32) + 8;
    entries[40..44].copy_from_slice(&(second as u32).to_le_bytes());
    file.write_all_at(&entries, place)?;
    header[88..92].copy_from_slice(&crc32(&entries).to_le_bytes());
    header[16..20].fill(0);
    let sum = crc32(&header[..92]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    Ok(file.write_all_at(&header, at)?)
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_twelve_and_six_are_broken() {
        assert_eq!(ALL.len(), 12);
        let broken = |image: &&Image| {
            image.edit != Edit::None || matches!(image.esp, Esp::Fat32 | Esp::NoFallback)
        };
        assert_eq!(ALL.iter().filter(broken).count(), 6);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
