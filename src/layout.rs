//! Names, marks and versions that agent and builder share, and that stand nowhere else.

#![forbid(unsafe_code)]

use crate::units::{Hex32, ImageId};

/// Version of this package; agent and builder of one image are of one version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Stands in every agent, so that `build` can refuse one of another version:
/// this prefix, the version, a newline.
pub const AGENT_MARK: &str = concat!("liveroot-init mark ", env!("CARGO_PKG_VERSION"), "\n");

/// [`AGENT_MARK`] without the version.
pub const AGENT_MARK_PREFIX: &str = "liveroot-init mark ";

/// Directory of the image on the medium (`rd.live.dir`).
pub const LIVE_DIR: &str = "LiveOS";

/// Payload below [`LIVE_DIR`] (`rd.live.squashimg`).
pub const SQUASHFS_IMG: &str = "squashfs.img";

/// The image's manifest on the medium, below [`LIVE_DIR`]; the same text as [`IMAGE_JSON`].
pub const MEDIUM_JSON: &str = "liveroot.json";

/// The image's manifest in the initramfs: a cpio segment of its own, the last one.
pub const IMAGE_JSON: &str = "liveroot/image.json";

/// What all modules of an initramfs have in common: the zstd dictionary that each was
/// compressed with, beside modules.dep.
pub const MODULE_DICTIONARY: &str = "modules.zdict";

/// Where the UKI lies in the ESP and in the ISO's own tree. Outside `EFI/Linux`, or
/// systemd-boot's menu shows it twice.
pub const UKI_PATH: &str = "EFI/liveroot/linux.efi";

/// The kernel and the initramfs as plain files of the ISO's tree, for boot loaders that start
/// no UKI: isolinux, and GRUB from the image as a file (`boot/grub/loopback.cfg`).
pub const BOOT_KERNEL: &str = "boot/vmlinuz";
/// See [`BOOT_KERNEL`].
pub const BOOT_INITRAMFS: &str = "boot/initramfs";

/// Source of the root overlay in `/proc/mounts`; scripts detect live systems by it.
pub const OVERLAY_SOURCE: &str = "LiveOS_rootfs";

/// Alignment of the payload on the medium, bytes.
pub const PAYLOAD_ALIGN: u64 = 1 << 20;

/// What `liveroot/image.json` and `LiveOS/liveroot.json` hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageManifest {
    /// Version of this structure, now 1.
    pub schema: u32,
    /// SHA-256 of the payload, without what stands behind it.
    pub id: ImageId,
    /// Length of the payload, bytes. The file on the medium is longer where a hash tree
    /// stands behind it.
    pub size: u64,
    /// Volume label of the medium.
    pub label: String,
    /// The hash tree; none in images of releases before 0.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verity: Option<VerityManifest>,
}

/// The hash tree behind a payload (dm-verity, hash type 1, SHA-256, blocks of 4,096 bytes).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VerityManifest {
    /// What all of the payload is checked against.
    pub root_hash: Hex32,
    /// Comes before each block.
    pub salt: Hex32,
    /// Blocks of the payload.
    pub data_blocks: u64,
    /// Where the superblock stands, bytes from the payload's start; the tree is behind it.
    pub hash_offset: u64,
}

/// The schema that this version writes and reads.
pub const MANIFEST_SCHEMA: u32 = 1;

/// GPT type of a partition that keeps the changes to the root: our own, so that systemd's
/// automatic mounts (the Discoverable Partitions Specification) leave it alone. Lower case.
pub const UPPER_TYPE: &str = "a6d1f2c4-5b0e-4c5e-9f3b-2f4c9e6d7a10";

/// GPT type of a partition that is mounted at /home.
pub const HOME_TYPE: &str = "a6d1f2c4-5b0e-4c5e-9f3b-2f4c9e6d7a11";

/// Directory of ours on a partition that keeps changes. Below it: [`CURRENT`], and what
/// `liveroot.onchange=fresh` put aside: `session-1`, `session-2` …
pub const UPPER_DIR: &str = "liveroot";

/// The session in use, below [`UPPER_DIR`]: [`UPPER`], [`WORK`] and [`SESSION_JSON`].
pub const CURRENT: &str = "current";

/// Prefix of a session that was put aside, below [`UPPER_DIR`]; a number follows.
pub const PUT_ASIDE: &str = "session-";

/// upperdir of a session.
pub const UPPER: &str = "upper";

/// workdir of a session.
pub const WORK: &str = "work";

/// Which image a session was made on, and whether it is open ([`Session`]).
pub const SESSION_JSON: &str = "session.json";

/// Length of a session's file, bytes: it is overwritten in place, within one sector, so
/// that a full file system can be marked too and a power cut leaves the old or the new one.
pub const SESSION_LENGTH: usize = 512;

/// workdir beside the upper directory of dracut's overlays.
pub const DRACUT_WORK: &str = "ovlwork";

/// Below /run: what this boot leaves for those who come later.
pub const RUN_DIR: &str = "liveroot";

/// Below [`RUN_DIR`]: what the shutdown program, `status` and `watch` read ([`Left`]).
pub const LEFT_JSON: &str = "left.json";

/// Below [`RUN_DIR`]: made by whoever wants the disc ejected at the end.
pub const EJECT: &str = "eject";

/// Below [`RUN_DIR`]: the programs, where the image has none.
pub const RUN_BIN: &str = "bin";

/// Below /run: the program that ends the machine; systemd-shutdown(8) pivots to it.
pub const SHUTDOWN: &str = "initramfs/shutdown";

/// What a session's file holds, padded with blanks to [`SESSION_LENGTH`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Session {
    /// Version of this structure, now 1.
    pub schema: u32,
    /// The image it was made on; none when that image claimed no id.
    pub image: Option<ImageId>,
    /// Label of that image's medium, for people.
    pub label: String,
    /// Seconds since 1970 by the wall clock of the boot that made it; may be wrong.
    pub made: u64,
    /// Likewise of the boot that used it last.
    pub used: u64,
    /// Whether a boot uses it, or ended without closing it.
    pub open: bool,
}

/// The schema of [`Session`].
pub const SESSION_SCHEMA: u32 = 1;

/// What boot leaves in `/run/liveroot/left.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Left {
    /// Version of this structure, now 1.
    pub schema: u32,
    /// The image's id.
    pub image: Option<ImageId>,
    /// The medium.
    pub medium: Option<LeftMount>,
    /// The file system that takes the writes: a tmpfs or a partition.
    pub upper: Option<LeftMount>,
    /// The partition with saved changes; the same as [`Left::upper`] unless they are only
    /// read.
    pub saved: Option<LeftMount>,
    /// Below the root of [`Left::saved`]: the upper directory, no slash before it.
    pub directory: Option<String>,
    /// Below the root of [`Left::upper`]: the session's file; none in memory, and none when
    /// saved changes are only read.
    pub session: Option<String>,
    /// The file system at /home, if it is one of its own.
    pub home: Option<LeftMount>,
    /// Whether the words ask for the disc at the end.
    pub eject: bool,
    /// What the user should know of this boot, one sentence each.
    pub notices: Vec<String>,
}

/// The schema of [`Left`].
pub const LEFT_SCHEMA: u32 = 1;

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LeftMount {
    /// Its device, `/dev/sda3`; `tmpfs` for memory.
    pub device: String,
    /// Device number of the file system (`st_dev`), `MAJOR:MINOR` as in
    /// /proc/self/mountinfo. It stays when the mount moves.
    pub number: String,
    /// Where boot mounted it, in the live system's tree; empty when it was let go.
    pub at: String,
    /// Its type as in /proc/mounts.
    pub fs: String,
}

/// What `LiveOS/liveroot.json` holds on a medium whose builder seals it: [`ImageManifest`]'s
/// fields, and what `liveroot verify` compares. Fields that an older builder did not write
/// are empty.
///
/// [`MediumManifest::parts`] cover every byte of the image but three kinds: the payload with
/// its hash tree (which the root hash covers, but for the tree's superblock, a part), the 512
/// bytes of isomd5's text (its own sum is in them), and this file's text, which is covered by
/// [`MediumManifest::seal`].
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MediumManifest {
    /// Version of this structure, now 1.
    pub schema: u32,
    /// SHA-256 of the payload file.
    pub id: Option<ImageId>,
    /// Length of the payload file, bytes.
    pub size: u64,
    /// Volume label of the medium.
    pub label: String,
    /// Root of the payload's dm-verity tree, 64 hex digits.
    #[serde(default)]
    pub root_hash: Option<ImageId>,
    /// Where the payload begins on the medium, bytes.
    #[serde(default)]
    pub payload_offset: u64,
    /// Where the superblock of its hash tree begins, bytes from the start of the payload.
    #[serde(default)]
    pub verity_offset: u64,
    /// Length of the whole image, bytes; what lies behind it on a larger stick is not ours.
    #[serde(default)]
    pub image_size: u64,
    /// In the order of their offsets, without overlaps.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// SHA-256 of this text with these 64 digits as zeros ([`seal_place`]).
    #[serde(default)]
    pub seal: Option<ImageId>,
}

/// A piece of the medium that is covered by a digest.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Part {
    /// What lies there, for people: a file's path, `GPT entries`, `ESP: FAT 1`.
    pub name: String,
    /// Where it begins on the medium, bytes.
    pub offset: u64,
    /// Length, bytes.
    pub length: u64,
    /// Its SHA-256.
    pub sha256: ImageId,
}

/// A named range of bytes of a medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What lies there.
    pub name: String,
    /// Where, bytes.
    pub at: std::ops::Range<u64>,
}

/// Where the digits of a manifest's seal are in its text; none if it has none.
pub fn seal_place(text: &[u8]) -> Option<std::ops::Range<usize>> {
    const KEY: &[u8] = b"\"seal\"";
    let key = text.windows(KEY.len()).rposition(|window| window == KEY)?;
    let quote = text[key + KEY.len()..].iter().position(|b| *b == b'"')?;
    let start = key + KEY.len() + quote + 1;
    let digits = text.get(start..start + 64)?;
    digits
        .iter()
        .all(u8::is_ascii_hexdigit)
        .then_some(start..start + 64)
}

/// Ranges that cover bytes 0 to `length` but what is left out: each byte belongs to the
/// shortest span that has it, and what no span has is `unused`. In order, without overlaps.
pub fn cover(length: u64, spans: &[Span], left_out: &[std::ops::Range<u64>]) -> Vec<Span> {
    let ranges = spans.iter().map(|span| &span.at).chain(left_out);
    let mut edges: Vec<u64> = ranges.flat_map(|at| [at.start, at.end]).collect();
    edges.extend([0, length]);
    edges.retain(|edge| *edge <= length);
    edges.sort_unstable();
    edges.dedup();
    let mut covered: Vec<(Option<usize>, Span)> = Vec::new();
    for pair in edges.windows(2) {
        let (start, end) = (pair[0], pair[1]);
        if left_out.iter().any(|at| at.start <= start && end <= at.end) {
            continue;
        }
        let owners = spans.iter().enumerate();
        let owner = owners
            .filter(|(_, span)| span.at.start <= start && end <= span.at.end)
            .min_by_key(|(_, span)| span.at.end - span.at.start)
            .map(|(n, _)| n);
        match covered.last_mut() {
            Some((last, span)) if *last == owner && span.at.end == start => span.at.end = end,
            _ => {
                let name = owner.map_or("unused", |n| spans[n].name.as_str());
                let span = Span {
                    name: name.to_owned(),
                    at: start..end,
                };
                covered.push((owner, span));
            }
        }
    }
    covered.into_iter().map(|(_, span)| span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(name: &str, at: std::ops::Range<u64>) -> Span {
        Span {
            name: name.into(),
            at,
        }
    }

    #[test]
    fn every_byte_is_covered_once_by_its_closest_name() {
        let spans = [span("esp", 10..50), span("fat", 20..30), span("x", 90..200)];
        let covered = cover(100, &spans, &[60..70, 25..26]);
        assert_eq!(
            covered,
            [
                span("unused", 0..10),
                span("esp", 10..20),
                span("fat", 20..25),
                span("fat", 26..30),
                span("esp", 30..50),
                span("unused", 50..60),
                span("unused", 70..90),
                span("x", 90..100),
            ]
        );
    }

    #[test]
    fn a_manifest_of_an_older_builder_has_no_parts() {
        let old = r#"{"schema":1,"id":"00","size":1,"label":"L"}"#.replace("00", &"00".repeat(32));
        let old: MediumManifest = serde_json::from_str(&old).unwrap();
        assert_eq!((old.parts.len(), old.root_hash, old.seal), (0, None, None));
        let text = format!(r#"{{"label":"\"seal\"","seal": "{}"}}"#, "0".repeat(64));
        let place = seal_place(text.as_bytes()).unwrap();
        assert_eq!(&text[place], "0".repeat(64));
        assert_eq!(seal_place(b"{\"seal\":null}"), None);
    }
}
