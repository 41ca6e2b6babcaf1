//! For dracut's hooks: whose the root is, and systemd's units for it. Both come before anything
//! is searched, and read the words as the step does ([`super::dracut`]).

use super::dracut::read_words;
use super::machine::Machine;
use crate::plan::generator::{Content, decide_units};
use crate::request::claim::{Awaited, Claim, decide_claim, is_plain};
use crate::request::said::Said;
use crate::request::{DeviceSpec, Place, decide_request, decide_request_with_udev};
use crate::sys::Error;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Where dracut keeps hooks; the last three since 110.
const HOOKS: [&str; 4] = ["lib", "var/lib", "etc", "usr/lib"];

/// Whether the livenet of this initramfs takes `root=http://` without `live:` in front.
fn takes_bare_urls(root: &Path) -> bool {
    HOOKS.iter().any(|dir| {
        let hook = format!("{dir}/dracut/hooks/cmdline/29-parse-livenet.sh");
        std::fs::read_to_string(root.join(hook)).is_ok_and(|text| text.contains("http://*"))
    })
}

/// The face `claim`: `ours`, `net` when livenet fetches it, nothing for other roots; and behind
/// `ours`, as far as a shell can take it, `node=` or `link=` with what dracut's initqueue may have
/// to make first, or `device=` with a node of the kernel's; and `overlay=` with the device of
/// saved changes.
pub fn claim() -> String {
    let root = Machine::running().root;
    let words = read_words();
    decide_answer(&decide_claim(&words, takes_bare_urls(&root)), &words)
}

fn decide_answer(claim: &Claim, words: &[Said]) -> String {
    let awaited = match claim {
        Claim::Foreign => return String::new(),
        Claim::Fetched => return "net\n".to_owned(),
        Claim::Ours(awaited) => awaited,
    };
    let mut answer = "ours".to_owned();
    match awaited {
        Awaited::Nothing => {}
        Awaited::Kernels(path) => answer += &format!(" device={path}"),
        Awaited::Node(path) => answer += &format!(" node={path}"),
        Awaited::Link(path) => answer += &format!(" link={path}"),
    }
    if let Place::Named(spec, _) = decide_request_with_udev(words).upper.place {
        let spec = spec.to_string();
        if is_plain(&spec) {
            answer += &format!(" overlay={spec}");
        }
    }
    answer + "\n"
}

/// The face `generator`: systemd gives three directories, the second goes before those of all
/// other generators. Nothing can be shown at that time; the journal gets what went wrong.
pub fn run(directories: &[String]) -> i32 {
    let [_, early, _] = directories else {
        eprintln!("liveroot-init generator: takes the three directories of systemd.generator(7)");
        return 2;
    };
    let root = Machine::running().root;
    match write(&root, Path::new(early), &read_words()) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("liveroot-init generator: {e}");
            1
        }
    }
}

/// Writes what the words call for, in the initramfs at `root`.
fn write(root: &Path, early: &Path, words: &[Said]) -> Result<(), Error> {
    let claim = decide_claim(words, takes_bare_urls(root));
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
        let nothing = [
            &b"root=/dev/sda2 quiet"[..],
            b"root=nfs4:s:/x rd.live.image rd.overlay",
            b"root=http://s/x",
        ];
        for words in nothing {
            write(dir.path(), dir.path(), &split(words)).unwrap();
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
        write(
            dir.path(),
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

    #[test]
    fn a_url_alone_is_livenets_where_its_hook_knows_it() {
        let dir = tempfile::tempdir().unwrap();
        let hooks = dir.path().join("usr/lib/dracut/hooks/cmdline");
        std::fs::create_dir_all(&hooks).unwrap();
        let hook = hooks.join("29-parse-livenet.sh");
        std::fs::write(&hook, "str_starts \"$root\" \"live:\"").unwrap();
        assert!(!takes_bare_urls(dir.path()));
        std::fs::write(&hook, "case $root in\n http://* | https://*) ;;").unwrap();
        assert!(takes_bare_urls(dir.path()));
        write(dir.path(), dir.path(), &split(b"root=http://s/x")).unwrap();
        assert!(dir.path().join("sysroot.mount").exists());
    }

    #[test]
    fn the_answer_says_what_the_agent_understood() {
        for (line, answer) in [
            ("root=/dev/sda2", ""),
            ("root=live:http://s/x", "net\n"),
            ("root=live:/dev/sda1", "ours device=/dev/sda1\n"),
            ("root=live:/a.img", "ours\n"),
            ("root=live:/dev/ventoy", "ours node=/dev/ventoy\n"),
            (
                "root=live:LABEL=X rd.live.overlay=LABEL=persist rd.overlay=1",
                "ours link=/dev/disk/by-label/X overlay=LABEL=persist\n",
            ),
            (
                "root=live:/dev/sda rd.overlay rd.live.overlay=LABEL=persist",
                "ours device=/dev/sda overlay=LABEL=persist\n",
            ),
            (
                "root=live:/dev/sda rd.overlay=UUID=1:/x",
                "ours device=/dev/sda overlay=UUID=1\n",
            ),
            ("root=live:/a.img rd.overlay=LABEL=a$b", "ours\n"),
            ("root=live:/a.img rd.overlay=none", "ours\n"),
        ] {
            let words = split(line.as_bytes());
            let claim = decide_claim(&words, false);
            assert_eq!(decide_answer(&claim, &words), answer, "{line}");
        }
    }
}
