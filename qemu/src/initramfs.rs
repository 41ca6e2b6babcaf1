//! Hand-made initramfs archives, and the names in anybody's.

use crate::cache::{Cache, Key};
use crate::fail;
use crate::tool;
use crate::trees::executable;
use crate::trouble::{Result, While};
use std::fs;
use std::path::{Path, PathBuf};

/// Says how long the kernel took, and powers off: what every stage's figure is less by.
const TRIVIAL_INIT: &str = "#!/busybox sh
/busybox mkdir -p /proc; /busybox mount -t proc proc /proc
echo \"@@LR uptime $(/busybox cat /proc/uptime)\"
/busybox poweroff -f
";

/// An initramfs that holds a static busybox and [`TRIVIAL_INIT`].
pub fn trivial(cache: &Cache) -> Result<PathBuf> {
    let key = Key::of(&["trivial 1", TRIVIAL_INIT]);
    let entry = cache.entry("initramfs", "trivial", &key, |dir| {
        let content = dir.join("content");
        fs::create_dir(&content)?;
        fs::copy("/bin/busybox", content.join("busybox"))?;
        executable(&content.join("init"), TRIVIAL_INIT)?;
        pack(&content, &dir.join("initrd"), "gzip -n")
    })?;
    Ok(entry.join("initrd"))
}

/// Packs a directory.
pub fn pack(content: &Path, to: &Path, packer: &str) -> Result<()> {
    let script =
        format!("cd \"$1\"; find . | LC_ALL=C sort | cpio -o -H newc --quiet | {packer} >\"$2\"");
    tool::shell(&script, &[&content, &to]).map(drop)
}

/// The same with one more file in it, `/name`.
pub fn with_file(initrd: &Path, file: &Path, name: &str, to: &Path) -> Result<()> {
    let script = "
        cp \"$1\" \"$4\"
        truncate -s %512 \"$4\"
        mkdir \"$4.content\"
        ln -s \"$2\" \"$4.content/$3\"
        cd \"$4.content\"
        echo \"$3\" | cpio -o -L -H newc --quiet >>\"$4\"
        rm -r \"$4.content\"";
    tool::shell(script, &[&initrd, &file, &name, &to]).map(drop)
}

/// Names of the kernel modules in an initramfs: file names without `.ko` and what follows.
pub fn modules(initrd: &Path) -> Result<Vec<String>> {
    let mut modules: Vec<String> = names(initrd)?
        .iter()
        .filter_map(|path| {
            path.rsplit('/')
                .next()?
                .split_once(".ko")
                .map(|(stem, _)| stem.to_owned())
        })
        .collect();
    modules.sort();
    modules.dedup();
    if modules.is_empty() {
        fail!("{} carries no modules", initrd.display());
    }
    Ok(modules)
}

/// Names in all segments of an initramfs.
fn names(initrd: &Path) -> Result<Vec<String>> {
    let archive = fs::read(initrd).doing(format!("reading {}", initrd.display()))?;
    let mut found = Vec::new();
    let mut rest = archive.as_slice();
    while let Some(start) = rest.iter().position(|byte| *byte != 0) {
        rest = &rest[start..];
        if rest.starts_with(b"070701") {
            let used = newc_names(rest, &mut found)?;
            rest = &rest[used..];
        } else if rest.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let end = next_plain(rest);
            let packed = initrd.with_extension(format!("packed-{}", std::process::id()));
            fs::write(&packed, &rest[..end])?;
            // It complains about the padding behind the frame.
            let unpacked = tool::shell("zstd -dcq <\"$1\" 2>/dev/null || :", &[&packed]);
            fs::remove_file(&packed)?;
            newc_names(&unpacked?, &mut found)?;
            rest = &rest[end..];
        } else {
            fail!("{}: a segment is neither newc nor zstd", initrd.display());
        }
    }
    Ok(found)
}

/// Where the next uncompressed segment begins: at a header that is all hexadecimal digits.
fn next_plain(archive: &[u8]) -> usize {
    let is_header = |at: &usize| {
        archive[*at..].starts_with(b"070701")
            && archive[*at..].iter().take(110).all(u8::is_ascii_hexdigit)
    };
    (0..archive.len())
        .step_by(4)
        .find(is_header)
        .unwrap_or(archive.len())
}

/// Names in one archive (Documentation/driver-api/early-userspace/buffer-format.rst); where it
/// ends.
fn newc_names(archive: &[u8], found: &mut Vec<String>) -> Result<usize> {
    let mut at = 0;
    loop {
        let header = archive
            .get(at..at + 110)
            .filter(|header| header.starts_with(b"070701"));
        let Some(header) = header else {
            fail!("the archive ends without its trailer")
        };
        let field = |number: usize| {
            let digits = &header[6 + number * 8..14 + number * 8];
            usize::from_str_radix(&String::from_utf8_lossy(digits), 16)
        };
        let (size, name_size) = (field(6)?, field(11)?);
        let name = archive
            .get(at + 110..at + 110 + name_size.saturating_sub(1))
            .unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        at = (at + 110 + name_size).next_multiple_of(4);
        at = (at + size).next_multiple_of(4);
        if name == "TRAILER!!!" {
            return Ok(at.min(archive.len()));
        }
        found.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_in_plain_and_packed_segments() {
        let dir = std::env::temp_dir().join(format!("liveroot-initramfs-{}", std::process::id()));
        let content = dir.join("content");
        fs::create_dir_all(content.join("lib/modules")).unwrap();
        fs::write(content.join("lib/modules/usb-storage.ko.zst"), "x").unwrap();
        fs::write(content.join("init"), "x").unwrap();
        pack(&content, &dir.join("plain"), "cat").unwrap();
        assert_eq!(modules(&dir.join("plain")).unwrap(), ["usb-storage"]);
        pack(&content, &dir.join("zstd"), "zstd -q").unwrap();
        let mut both = [
            fs::read(dir.join("plain")).unwrap(),
            vec![0; 512],
            fs::read(dir.join("zstd")).unwrap(),
        ]
        .concat();
        both.resize(both.len().next_multiple_of(4), 0);
        both.extend(fs::read(dir.join("plain")).unwrap());
        fs::write(dir.join("both"), both).unwrap();
        assert_eq!(
            names(&dir.join("both"))
                .unwrap()
                .iter()
                .filter(|name| name.contains(".ko"))
                .count(),
            3
        );
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_cut_archive_is_an_error() {
        assert!(newc_names(b"070701", &mut Vec::new()).is_err());
    }
}
