//! A medium with invented contents, as `liveroot build` lays it out.
#![allow(clippy::unwrap_used)]

use liveroot::builder::bios::Bios;
use liveroot::builder::medium::{
    BiosStart, Front, FrontInput, Identity, Layout, MediumFile, Place, plan_front, write_pieces,
};
use liveroot::ondisk::isolinux;
use liveroot::units::Label;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub const EPOCH: u64 = 1_700_000_000;
pub const PAYLOAD: &str = "LiveOS/squashfs.img";
/// Length of the EFI system partition.
pub const ESP: u64 = 0x2000 * 512;

/// What it starts by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Uefi,
    Both,
}

/// The image, and where all is.
pub struct Made {
    pub dir: tempfile::TempDir,
    pub image: PathBuf,
    pub front: Front,
    pub layout: Layout,
    files: Vec<(String, Vec<u8>)>,
}

/// Bytes that differ from place to place.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let words = (0..length.div_ceil(4) as u32).flat_map(|n| {
        (n ^ seed)
            .wrapping_mul(2_654_435_761)
            .rotate_left(n % 31)
            .to_le_bytes()
    });
    words.take(length).collect()
}

pub fn small_files() -> Vec<(String, Vec<u8>)> {
    let mut kernel = noise(300_001, 3);
    kernel[..2].copy_from_slice(b"MZ");
    vec![
        ("EFI/BOOT/BOOTX64.EFI".into(), noise(100_000, 1)),
        ("EFI/liveroot/linux.efi".into(), kernel),
        ("LiveOS/liveroot.json".into(), b"{}\n".to_vec()),
        ("empty".into(), Vec::new()),
        ("loader/loader.conf".into(), b"timeout 5\n".to_vec()),
    ]
}

/// Where the plain kernel lies in the unified image.
const WITHIN: (u64, u64) = (8192, 100_003);

impl Made {
    /// A few files and a payload of some MiB.
    pub fn small(start: Start) -> Made {
        let payload = noise((3 << 20) + 5000, 9);
        let made = Made::new(&small_files(), payload.len() as u64, ESP, start);
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&made.image)
            .unwrap();
        file.write_all_at(&payload, made.front.payload_offset)
            .unwrap();
        made.with(PAYLOAD, payload)
    }

    /// These files and a sparse payload.
    pub fn new(files: &[(String, Vec<u8>)], payload: u64, esp: u64, start: Start) -> Made {
        let mut files = files.to_vec();
        if start == Start::Both {
            let mut program = noise(40_000, 5);
            program[64..68].copy_from_slice(b"\xfb\xc0\x78\x70");
            files.insert(0, (Bios::program(), program));
        }
        let own = |(path, bytes): &(String, Vec<u8>)| MediumFile {
            path: path.clone(),
            place: Place::Own {
                length: bytes.len() as u64,
            },
        };
        let mut planned: Vec<MediumFile> = files.iter().map(own).collect();
        planned.push(MediumFile {
            path: "boot/vmlinuz".into(),
            place: Place::Within {
                file: "EFI/liveroot/linux.efi".into(),
                offset: WITHIN.0,
                length: WITHIN.1,
            },
        });
        let program = Bios::program();
        let front = plan_front(&FrontInput {
            label: &Label::new("My Label"),
            epoch: EPOCH,
            files: &planned,
            payload: PAYLOAD,
            payload_most: 1 << 40,
            bios: (start == Start::Both).then_some(BiosStart {
                isolinux: &program,
                mbr_code: &[0x90; isolinux::MBR_CODE],
            }),
        })
        .unwrap();
        if let Some((descriptor, sector)) = front.isolinux_at() {
            isolinux::put_boot_info(&mut files[0].1, descriptor, sector).unwrap();
        }
        let identity = Identity {
            disk: *b"disk of a test..",
        };
        let layout = front.plan_all(&identity, payload, esp).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("live.iso");
        let file = fs::File::create(&image).unwrap();
        file.set_len(layout.length).unwrap();
        for placed in &front.files {
            if let Some((_, bytes)) = files.iter().find(|(path, _)| *path == placed.path) {
                file.write_all_at(bytes, placed.offset).unwrap();
            }
        }
        write_pieces(&file, &layout, &image).unwrap();
        let uki = files.iter().find(|(path, _)| path.ends_with("linux.efi"));
        let kernel = uki.unwrap().1[WITHIN.0 as usize..][..WITHIN.1 as usize].to_vec();
        let made = Made {
            dir,
            image,
            front,
            layout,
            files,
        };
        made.with("boot/vmlinuz", kernel)
    }

    fn with(mut self, path: &str, bytes: Vec<u8>) -> Made {
        self.files.push((path.into(), bytes));
        self
    }

    /// All files must be below `root` as they went in.
    #[track_caller]
    pub fn compare(&self, root: &Path) {
        for (path, bytes) in &self.files {
            let read = fs::read(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
            assert!(read == *bytes, "{path} differs");
        }
    }
}
