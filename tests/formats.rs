//! What the parsers of `src/ondisk` say of images that the real tools make.
//!
//! A directory of `tests/formats` is a case: `make IMAGE` makes it, `expected` is what
//! must be found, and blkid(8) and partx(8) must agree. A new image is a new test, no
//! code. `# needs:` in `make` names its tools, `# blkid:` what is not compared; `?` in
//! `expected` stands for what the tool draws by lot.
//!
//! One case: `FORMAT=ext4 cargo test --test formats`; `KEEP=DIR` keeps its image, `BLESS=1`
//! writes an `expected` that is missing, to be read before it is believed.

// A test may panic; clippy knows only functions marked #[test].
#![allow(clippy::unwrap_used)]

#[path = "formats/hostile.rs"]
mod hostile;

use liveroot::ondisk::probe::probe_filesystem;
use liveroot::ondisk::table::{self, PartitionType, Table};
use liveroot::ondisk::{ByteSource, FsFacts, FsKind, ReadError, squashfs};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// An image file that counts what is read of it.
#[derive(Debug)]
pub struct Image {
    file: File,
    length: u64,
    reads: RefCell<Vec<(u64, usize)>>,
}

impl Image {
    fn open(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        let length = file.metadata().unwrap().len();
        Image {
            file,
            length,
            reads: RefCell::default(),
        }
    }
}

impl ByteSource for Image {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.reads.borrow_mut().push((offset, buf.len()));
        self.file
            .read_exact_at(buf, offset)
            .map_err(|_| ReadError::PastEnd)
    }

    fn len(&self) -> u64 {
        self.length
    }
}

struct Case {
    name: String,
    dir: PathBuf,
    make: String,
}

impl Case {
    fn directive(&self, word: &str) -> Option<&str> {
        self.make
            .lines()
            .find_map(|line| line.strip_prefix(word))
            .map(str::trim)
    }

    /// The image, or the tool that is missing.
    fn image(&self, scratch: &Path) -> Result<PathBuf, String> {
        let needs = self.directive("# needs:").unwrap_or_default();
        for tool in needs.split(' ').chain(["blkid", "partx"]) {
            find_tool(tool).ok_or_else(|| format!("{tool} is not installed"))?;
        }
        let image = scratch.join(&self.name);
        let made = tool("/bin/sh")
            .arg(self.dir.join("make"))
            .arg(&image)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{}/make failed: {said}", self.name);
        Ok(image)
    }
}

fn cases() -> Vec<Case> {
    let only = std::env::var("FORMAT").ok();
    let entries = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut cases: Vec<Case> = entries
        .filter(|dir| dir.join("make").exists())
        .map(|dir| Case {
            name: dir.file_name().unwrap().to_str().unwrap().to_owned(),
            make: fs::read_to_string(dir.join("make")).unwrap(),
            dir,
        })
        .filter(|case| only.as_ref().is_none_or(|only| *only == case.name))
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

/// A tool as root finds it, whoever runs the tests.
fn tool(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(find_tool(name).unwrap_or_else(|| name.into()));
    command
        .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"))
        .env("CASES", root())
        .env("LC_ALL", "C.UTF-8");
    command
}

fn find_tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin:/sbin";
    path.split(':')
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.exists())
}

/// What is missing is said; under `LIVEROOT_STRICT=1` it is a failure.
fn skip(what: &str, why: &str) {
    assert!(
        std::env::var_os("LIVEROOT_STRICT").is_none_or(|v| v != "1"),
        "{what}: {why}"
    );
    println!("skipped {what}: {why}");
}

/// The images of all cases, made once: `(case, image)`.
fn images() -> &'static [(Case, PathBuf)] {
    static IMAGES: OnceLock<(tempfile::TempDir, Vec<(Case, PathBuf)>)> = OnceLock::new();
    let (_, images) = IMAGES.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        let made = cases()
            .into_iter()
            .filter_map(|case| match case.image(scratch.path()) {
                Ok(image) => Some((case, image)),
                Err(why) => {
                    skip(&case.name, &why);
                    None
                }
            });
        let made = made.collect();
        (scratch, made)
    });
    images
}

/// Facts as `expected` files hold them, a line each.
fn render(facts: Option<&FsFacts>, table: Option<&Table>) -> String {
    let mut out = String::new();
    match facts {
        None => out.push_str("kind: none\n"),
        Some(facts) => {
            writeln!(out, "kind: {}", facts.kind).unwrap();
            let label = facts.label.as_ref().map(ToString::to_string);
            let size = facts.size.map(|size| size.0.to_string());
            for (key, value) in [("label", &label), ("uuid", &facts.uuid), ("size", &size)] {
                if let Some(value) = value {
                    writeln!(out, "{key}: {value}").unwrap();
                }
            }
        }
    }
    if let Some(table) = table {
        let id = table.uuid.as_deref().unwrap_or("-");
        writeln!(out, "table: {:?} {id}", table.kind).unwrap();
        for line in partition_lines(table) {
            writeln!(out, "{line}").unwrap();
        }
    }
    out
}

/// Partitions in the manner of partx(8).
fn partition_lines(table: &Table) -> Vec<String> {
    let line = |p: &table::Partition| {
        let kind = match p.kind {
            PartitionType::Guid(guid) => guid.to_string(),
            PartitionType::Mbr(kind) => format!("{kind:#x}"),
        };
        let (start, length) = (p.start.0, p.length.0);
        let uuid = p.uuid.as_deref().unwrap_or_default();
        let name = p.name.as_ref().map(ToString::to_string).unwrap_or_default();
        format!(
            r#"NR="{}" START="{start}" SECTORS="{length}" TYPE="{kind}" UUID="{uuid}" NAME="{name}""#,
            p.number
        )
    };
    table.partitions.iter().map(line).collect()
}

fn probe(image: &Path) -> (Option<FsFacts>, Option<Table>) {
    let source = Image::open(image);
    (
        probe_filesystem(&source).unwrap(),
        table::read_table(&source, 512).unwrap(),
    )
}

/// `?` in a line of `expected` stands for anything.
fn matches(expected: &str, found: &str) -> bool {
    let (mut expected, mut found) = (expected.lines(), found.lines());
    loop {
        match (expected.next(), found.next()) {
            (None, None) => return true,
            (Some(e), Some(f)) => match e.strip_suffix('?') {
                Some(prefix) if f.starts_with(prefix) && f.len() > prefix.len() => {}
                _ if e == f => {}
                _ => return false,
            },
            _ => return false,
        }
    }
}

fn blkid(image: &Path, tag: &str) -> String {
    let run = tool("blkid")
        .args(["-p", "-o", "value", "-s", tag])
        .arg(image)
        .output()
        .unwrap();
    // One newline ends the value; others belong to it.
    let text = String::from_utf8(run.stdout).unwrap();
    text.strip_suffix('\n').unwrap_or(&text).to_owned()
}

/// What libblkid calls the kinds.
fn blkid_type(kind: FsKind) -> &'static [&'static str] {
    match kind {
        FsKind::Ext => &["ext2", "ext3", "ext4"],
        FsKind::Luks => &["crypto_LUKS"],
        FsKind::Lvm2 => &["LVM2_member"],
        FsKind::MdRaid => &["linux_raid_member"],
        FsKind::Iso9660 => &["iso9660"],
        FsKind::Udf => &["udf"],
        FsKind::Vfat => &["vfat"],
        FsKind::Exfat => &["exfat"],
        FsKind::Xfs => &["xfs"],
        FsKind::Btrfs => &["btrfs"],
        FsKind::F2fs => &["f2fs"],
        FsKind::Ntfs => &["ntfs"],
        FsKind::Squashfs => &["squashfs"],
        FsKind::Erofs => &["erofs"],
        FsKind::Swap => &["swap"],
        FsKind::DmSnapshot => &["DM_snapshot_cow"],
    }
}

fn differences_from_blkid(case: &Case, image: &Path, facts: Option<&FsFacts>) -> Vec<String> {
    let left_out = case.directive("# blkid:").unwrap_or_default();
    let kind = blkid(image, "TYPE");
    let Some(facts) = facts else {
        return if kind.is_empty() {
            vec![]
        } else {
            vec![format!("blkid sees {kind}")]
        };
    };
    let label = facts
        .label
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let uuid = facts.uuid.clone().unwrap_or_default();
    let mut differences = Vec::new();
    if !left_out.contains("type") && !blkid_type(facts.kind).contains(&kind.as_str()) {
        differences.push(format!("type: blkid says {kind:?}, we {}", facts.kind));
    }
    for (tag, ours) in [("LABEL", label), ("UUID", uuid)] {
        let theirs = blkid(image, tag);
        if !left_out.contains(&tag.to_lowercase()) && theirs != ours {
            differences.push(format!("{tag}: blkid says {theirs:?}, we {ours:?}"));
        }
    }
    differences
}

fn partx(image: &Path, sector_size: &str) -> Vec<String> {
    let columns = "NR,START,SECTORS,TYPE,UUID,NAME";
    let mut run = tool("partx");
    run.args(["-P", "-S", sector_size, "-o", columns])
        .arg(image);
    let text = String::from_utf8(run.output().unwrap().stdout).unwrap();
    text.lines().map(unescape).collect()
}

/// Undoes the `\xNN` in which partx writes what is not ASCII.
fn unescape(line: &str) -> String {
    let mut parts = line.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn every_image_is_recognised_as_expected_and_as_blkid_does() {
    let mut failures = String::new();
    for (case, image) in images() {
        let (facts, table) = probe(image);
        let found = render(facts.as_ref(), table.as_ref());
        let file = case.dir.join("expected");
        if std::env::var_os("BLESS").is_some() && !file.exists() {
            fs::write(&file, &found).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if !matches(&expected, &found) {
            writeln!(
                failures,
                "== {}\n-- expected\n{expected}-- found\n{found}",
                case.name
            )
            .unwrap();
        }
        for difference in differences_from_blkid(case, image, facts.as_ref()) {
            writeln!(failures, "== {}: {difference}", case.name).unwrap();
        }
        let ours = table.as_ref().map(partition_lines).unwrap_or_default();
        let theirs = partx(image, "512");
        if !case.make.contains("# partx: no") && ours != theirs {
            writeln!(
                failures,
                "== {}: partx says {theirs:#?}, we {ours:#?}",
                case.name
            )
            .unwrap();
        }
        if let Some(dir) = std::env::var_os("KEEP") {
            fs::copy(image, Path::new(&dir).join(&case.name)).unwrap();
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn a_probe_reads_little() {
    for (case, image) in images() {
        let source = Image::open(image);
        let facts = probe_filesystem(&source).unwrap();
        let reads = source.reads.borrow();
        let bytes: usize = reads.iter().map(|(_, length)| length).sum();
        // One for the head; label and end of device take the rest.
        let most = match facts.map(|facts| facts.kind) {
            Some(FsKind::Iso9660 | FsKind::Squashfs | FsKind::Erofs | FsKind::Luks) => 1,
            Some(FsKind::Udf) => 10,
            Some(FsKind::Vfat) if case.name.contains("behind-files") => 40,
            _ => 4,
        };
        assert!(reads.len() <= most, "{}: {reads:?}", case.name);
        assert!(bytes <= 160 << 10, "{}: {bytes} bytes", case.name);
    }
}

#[test]
fn an_image_that_was_cut_short_is_told_by_its_superblock() {
    let Some((_, image)) = images()
        .iter()
        .find(|(case, _)| case.name == "squashfs-zstd")
    else {
        return skip("squashfs superblock", "no image");
    };
    let superblock = squashfs::read_superblock(&Image::open(image))
        .unwrap()
        .unwrap();
    assert_eq!(superblock.block_size, 256 << 10);
    assert_eq!(superblock.compressor, squashfs::Compressor::Zstd);
    let length = fs::metadata(image).unwrap().len();
    assert!(superblock.fits(liveroot::units::Bytes(length)));
    assert!(!superblock.fits(liveroot::units::Bytes(superblock.bytes_used.0 - 1)));
    let short: &dyn ByteSource = &hostile::Bytes(fs::read(image).unwrap()[..95].to_vec());
    assert_eq!(squashfs::read_superblock(short), Ok(None));
}
