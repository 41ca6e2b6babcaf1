//! Media for the tests of `inspect` and `verify`, made by the real tools.

use crate::bench::{Bench, find, run, text, write};
use liveroot::layout::{MediumManifest, Part, Span, VerityManifest, cover, seal_place};
use liveroot::ondisk::{ByteSource, ReadError, regions, squashfs};
use liveroot::units::{Hex32, ImageId};
use sha2::{Digest, Sha256};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

/// A source in memory.
#[derive(Debug)]
pub struct Disk(pub Vec<u8>);

impl ByteSource for Disk {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_at(offset, buf)
    }
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// An image, and where things of interest lie.
#[derive(Debug)]
pub struct Medium {
    pub bytes: Vec<u8>,
    ranges: Vec<(&'static str, Range<u64>)>,
}

impl Medium {
    pub fn range(&self, name: &str) -> Range<u64> {
        self.ranges
            .iter()
            .find(|(n, _)| *n == name)
            .unwrap()
            .1
            .clone()
    }

    /// As sealed, but for an implanted checksum and without a manifest that lists parts.
    pub fn foreign() -> Medium {
        let mut medium = made();
        let dir = tempfile::tempdir().unwrap();
        let iso = dir.path().join("x.iso");
        let at = medium.range("manifest");
        medium.bytes[at.start as usize..at.end as usize].fill(b' ');
        let old = b"{\"schema\":1,\"size\":0,\"label\":\"LIVE\"}";
        medium.bytes[at.start as usize..at.start as usize + old.len()].copy_from_slice(old);
        fs::write(&iso, &medium.bytes).unwrap();
        run("implantisomd5", &["--force", iso.to_str().unwrap()]);
        medium.bytes = fs::read(&iso).unwrap();
        medium
    }
}

/// A small medium that `liveroot build` made; built once.
pub fn built() -> &'static Medium {
    static MEDIUM: OnceLock<Medium> = OnceLock::new();
    MEDIUM.get_or_init(|| {
        let bench = Bench::new();
        // Incompressible, so that it has blocks of its own in the payload.
        write(&bench.tree().join("etc/noise"), noise(3, 300_000));
        let output = bench.command().arg("--json").output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let payload = result["payload_offset"].as_u64().unwrap();
        let bytes = fs::read(bench.iso()).unwrap();
        let spans = regions::regions(&Disk(bytes.clone())).unwrap();
        let span = |name: &str| {
            let found = spans.iter().find(|s| s.name == name);
            found
                .unwrap_or_else(|| panic!("{name}: {spans:?}"))
                .at
                .clone()
        };
        let squashfs = squashfs::parse(&bytes[payload as usize..]).unwrap();
        let used = squashfs.bytes_used.0.next_multiple_of(4096);
        let ranges = vec![
            ("payload", payload..payload + used),
            ("kernel", span("/EFI/liveroot/linux.efi: .linux")),
            ("initramfs", span("/EFI/liveroot/linux.efi: .initrd")),
            ("fat", span("ESP: FAT 1").start..span("ESP: FAT 2").end),
            ("gpt", span("GPT header").start..span("GPT entries").end),
        ];
        Medium { bytes, ranges }
    })
}

/// A unified kernel image of nothing but headers, a kernel and an initramfs.
fn uki(kernel: &[u8], initrd: &[u8]) -> Vec<u8> {
    let mut pe = vec![0; 0x400];
    pe[..2].copy_from_slice(b"MZ");
    pe[0x3c] = 0x80;
    pe[0x80..0x84].copy_from_slice(b"PE\0\0");
    pe[0x84..0x86].copy_from_slice(&0x8664u16.to_le_bytes());
    pe[0x86] = 2;
    pe[0x94] = 0xf0;
    pe[0x98..0x9a].copy_from_slice(&0x20bu16.to_le_bytes());
    pe[0x98 + 68] = 10;
    for (n, (name, body)) in [(b".linux\0\0", kernel), (b".initrd\0", initrd)]
        .into_iter()
        .enumerate()
    {
        let header = 0x98 + 0xf0 + n * 40;
        let start = pe.len() as u32;
        pe[header..header + 8].copy_from_slice(name);
        for at in [8, 16] {
            pe[header + at..header + at + 4].copy_from_slice(&(body.len() as u32).to_le_bytes());
        }
        pe[header + 20..header + 24].copy_from_slice(&start.to_le_bytes());
        pe.extend_from_slice(body);
    }
    pe
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    (0..length).map(next).collect()
}

const MANIFEST: usize = 20_000;

/// ISO, ESP and payload with its tree, as our builder lays them out; the manifest empty.
fn made() -> Medium {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (kernel, initrd) = (noise(1, 20_000), noise(2, 30_000));
    let program = uki(&kernel, &initrd);
    fs::write(at("linux.efi"), &program).unwrap();
    fs::write(at("manifest"), vec![b' '; MANIFEST]).unwrap();
    fs::create_dir(at("tree")).unwrap();
    fs::write(at("tree/file"), noise(3, 300_000)).unwrap();
    let payload = text(&at("payload"));
    run(
        "mksquashfs",
        &[
            &text(&at("tree")),
            &payload,
            "-noappend",
            "-quiet",
            "-no-progress",
            "-all-root",
        ],
    );
    let used = fs::metadata(&payload).unwrap().len();
    assert_eq!(used % 4096, 0, "mksquashfs pads");
    let said = run(
        "veritysetup",
        &[
            "format",
            "--salt",
            "0badcafe",
            "--uuid",
            "3b5e7ab4-0f1c-4a5c-8a63-4b1d9a2c7f11",
            &format!("--hash-offset={used}"),
            &format!("--data-blocks={}", used / 4096),
            &payload,
            &payload,
        ],
    );
    let root = said
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"))
        .unwrap()
        .trim()
        .to_owned();
    fs::write(at("root"), root).unwrap();
    let esp = text(&at("esp"));
    fs::File::create(&esp).unwrap().set_len(320 * 1024).unwrap();
    run(
        "mkfs.fat",
        &["--invariant", "-i", "12345678", "-F", "12", "-f", "2", &esp],
    );
    run(
        "mmd",
        &["-i", &esp, "::EFI", "::EFI/BOOT", "::EFI/liveroot"],
    );
    for target in ["::EFI/BOOT/BOOTX64.EFI", "::EFI/liveroot/linux.efi"] {
        run("mcopy", &["-i", &esp, &text(&at("linux.efi")), target]);
    }
    let iso = text(&at("x.iso"));
    let graft = |path: &str, file: &str| format!("{path}={}", text(&at(file)));
    run(
        "xorriso",
        &[
            "-no_rc",
            "-as",
            "mkisofs",
            "-quiet",
            "-o",
            &iso,
            "-V",
            "LIVE",
            "-r",
            "-J",
            "-no-pad",
            "-partition_offset",
            "16",
            "--modification-date=2026010100000000",
            "-append_partition",
            "2",
            "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
            &esp,
            "-appended_part_as_gpt",
            "-c",
            "boot.cat",
            "-eltorito-platform",
            "efi",
            "-e",
            "--interval:appended_partition_2:all::",
            "-no-emul-boot",
            "-graft-points",
            &graft("EFI/BOOT/BOOTX64.EFI", "linux.efi"),
            &graft("EFI/liveroot/linux.efi", "linux.efi"),
            &graft("LiveOS/liveroot.json", "manifest"),
            &graft("LiveOS/squashfs.img", "payload"),
        ],
    );
    let bytes = fs::read(&iso).unwrap();
    let payload_bytes = fs::read(&payload).unwrap();
    let start = |needle: &[u8]| find(&bytes, needle).unwrap() as u64;
    let spans = regions::regions(&Disk(bytes.clone())).unwrap();
    let span = |name: &str| spans.iter().find(|s| s.name == name).unwrap().at.clone();
    let payload_start = start(&payload_bytes[..96]);
    let root = fs::read_to_string(at("root")).unwrap();
    let manifest = span("/LiveOS/liveroot.json");
    let ranges = vec![
        ("payload", payload_start..payload_start + used),
        (
            "tree",
            payload_start + used..payload_start + payload_bytes.len() as u64,
        ),
        ("kernel", span("/EFI/liveroot/linux.efi: .linux")),
        ("initramfs", span("/EFI/liveroot/linux.efi: .initrd")),
        ("fat", span("ESP: FAT 1").start..span("ESP: FAT 2").end),
        ("gpt", span("GPT header").start..span("GPT entries").end),
        ("manifest", manifest),
    ];
    ROOT.set(root).ok();
    Medium { bytes, ranges }
}

static ROOT: OnceLock<String> = OnceLock::new();

/// With a manifest that lists and seals all parts; made once.
pub fn sealed() -> &'static Medium {
    static MEDIUM: OnceLock<Medium> = OnceLock::new();
    MEDIUM.get_or_init(|| {
        let mut medium = made();
        seal(&mut medium);
        medium
    })
}

/// What the builder will do: cover all but payload, tree, isomd5's text and the manifest.
fn seal(medium: &mut Medium) {
    let (payload, tree) = (medium.range("payload"), medium.range("tree"));
    let text_at = medium.range("manifest");
    // The tree's superblock is no part of the tree.
    let mut spans = regions::regions(&Disk(medium.bytes.clone())).unwrap();
    spans.push(Span {
        name: "/LiveOS/squashfs.img: hash tree".into(),
        at: tree.start..tree.start + 4096,
    });
    let left_out = [
        payload.clone(),
        tree.start + 4096..tree.end,
        0x8373..0x8573,
        text_at.clone(),
    ];
    let sum = |bytes: &[u8]| {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        ImageId::from_digest(&digest)
    };
    let zeros = ImageId::from_digest(&[0; 32]);
    let parts = cover(medium.bytes.len() as u64, &spans, &left_out)
        .into_iter()
        .map(|span| Part {
            sha256: sum(&medium.bytes[span.at.start as usize..span.at.end as usize]),
            offset: span.at.start,
            length: span.at.end - span.at.start,
            name: span.name,
        });
    let manifest = MediumManifest {
        schema: 1,
        id: Some(sum(&medium.bytes[payload.start as usize..tree.end as usize])),
        size: tree.start - payload.start,
        label: "LIVE".into(),
        verity: Some(VerityManifest {
            root_hash: ROOT.get().unwrap().clone().try_into().unwrap(),
            salt: Hex32([0; 32]),
            data_blocks: (tree.start - payload.start) / 4096,
            hash_offset: tree.start - payload.start,
        }),
        payload_offset: payload.start,
        image_size: medium.bytes.len() as u64,
        parts: parts.collect(),
        seal: Some(zeros),
    };
    let mut text = serde_json::to_vec_pretty(&manifest).unwrap();
    assert!(text.len() <= MANIFEST, "{} bytes", text.len());
    text.resize(MANIFEST, b'\n');
    let place = seal_place(&text).unwrap();
    let seal = sum(&text).to_string();
    text[place].copy_from_slice(seal.as_bytes());
    medium.bytes[text_at.start as usize..text_at.end as usize].copy_from_slice(&text);
}
