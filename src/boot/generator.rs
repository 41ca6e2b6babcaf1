//! For dracut's hooks: whose the root is, and systemd's units for it. Both come before anything
//! is searched, and read the words as the step does ([`super::dracut`]).

use super::dracut::read_words;
use crate::plan::generator::{Content, decide_units};
use crate::request::claim::{Claim, decide_claim};
use crate::request::said::Said;
use crate::request::{DeviceSpec, decide_request};
use crate::sys::Error;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The face `claim`: `ours`, `ours NODE` when dracut's initqueue must make that node first, `net`
/// when livenet fetches it, nothing for other roots.
pub fn claim() -> String {
    match decide_claim(&read_words()) {
        Claim::Foreign => String::new(),
        Claim::Fetched => "net\n".to_owned(),
        Claim::Ours(None) => "ours\n".to_owned(),
        Claim::Ours(Some(node)) => format!("ours {node}\n"),
    }
}

/// The face `generator`: systemd gives three directories, the second goes before those of all
/// other generators. Nothing can be shown at that time; the journal gets what went wrong.
pub fn run(directories: &[String]) -> i32 {
    let [_, early, _] = directories else {
        eprintln!("liveroot-init generator: takes the three directories of systemd.generator(7)");
        return 2;
    };
    match write(Path::new(early), &read_words()) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("liveroot-init generator: {e}");
            1
        }
    }
}

/// Writes what the words call for.
pub fn write(early: &Path, words: &[Said]) -> Result<(), Error> {
    let claim = decide_claim(words);
    let root = words.iter().rfind(|w| w.key == b"root");
    // Only without `live:` in front: others take it for theirs.
    let legacy = root.and_then(|w| DeviceSpec::parse(w.value.as_deref()?));
    let readonly = decide_request(words).upper.readonly;
    for made in decide_units(&claim, readonly, legacy.as_ref()) {
        let path = early.join(&made.path);
        let dir = path.parent().unwrap_or(early);
        std::fs::create_dir_all(dir)
            .and_then(|()| match &made.content {
                Content::Text(text) => std::fs::write(&path, text),
                Content::Link(target) => symlink(target, &path),
            })
            .map_err(|e| Error::io("writing", path.display(), &e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::said::split;

    #[test]
    fn units_are_written_for_a_live_root_only() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &split(b"root=/dev/sda2 quiet")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        write(
            dir.path(),
            &split(b"root=LABEL=X rd.live.image rd.overlay.readonly"),
        )
        .unwrap();
        let link = dir
            .path()
            .join("initrd-root-fs.target.requires/sysroot.mount");
        let unit = std::fs::read_to_string(link).unwrap();
        assert!(unit.contains("overlayfs-r"), "{unit}");
        let masked = dir
            .path()
            .join(r"initrd.target.wants/dev-disk-by\x2dlabel-X.device");
        assert_eq!(std::fs::read_link(masked).unwrap(), Path::new("/dev/null"));
    }
}
