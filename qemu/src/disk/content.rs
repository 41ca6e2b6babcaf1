//! What is on a partition before the first boot, laid out below a directory of the host.

use super::Workshop;
use crate::fail;
use crate::media::Medium;
use crate::roots;
use crate::scenario::{FileSystem, Holds, PartitionSpec, RootForm};
use crate::tool;
use crate::trees;
use crate::trouble::{Result, While};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

/// What files of a partition tell about the medium called `live`.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    id: String,
    label: String,
    uuid: String,
}

impl Facts {
    fn filled_in(&self, text: &str) -> String {
        text.replace("{ID}", &self.id)
            .replace("{LABEL}", &self.label)
            .replace("{UUID}", &self.uuid)
    }
}

impl PartitionSpec {
    /// Whether [`Facts`] are needed to make it.
    pub fn tells_of_the_medium(&self) -> bool {
        self.content != Holds::Nothing || !self.files.is_empty()
    }
}

/// Looks at a medium as others would: its superblock, its manifest.
pub fn facts(live: &Medium) -> Result<Facts> {
    let tag = |name: &str| {
        let said = tool::text(
            Command::new("blkid")
                .args(["-p", "-o", "value", "-s", name])
                .arg(&live.iso),
        );
        said.map(|text| text.trim().to_owned())
    };
    let manifest = tool::shell(
        "f=$(mktemp -u); xorriso -osirrox on -indev \"$1\" -extract /LiveOS/liveroot.json \"$f\" 2>/dev/null; cat \"$f\"; rm -f \"$f\"",
        &[&live.iso],
    )?;
    let manifest: Value = serde_json::from_slice(&manifest).doing("reading liveroot.json")?;
    Ok(Facts {
        id: manifest["id"].as_str().unwrap_or_default().to_owned(),
        label: tag("LABEL")?,
        uuid: tag("UUID")?,
    })
}

/// Lays it out below `root`.
pub fn lay_out(spec: &PartitionSpec, facts: &Facts, helper: &Path, root: &Path) -> Result<()> {
    for (path, text) in &spec.files {
        let path = root.join(facts.filled_in(path.trim_start_matches('/')));
        if path.to_string_lossy().ends_with('/') {
            fs::create_dir_all(&path)?;
        } else {
            write(&path, facts.filled_in(text).as_bytes())?;
        }
    }
    let overlay = format!("LiveOS/overlay-{}-{}", facts.label, facts.uuid);
    match spec.content {
        Holds::Nothing => Ok(()),
        Holds::Session => session(&facts.id, root),
        Holds::ForeignSession => session(&"5a".repeat(32), root),
        Holds::Dracut => dracut(&root.join(overlay), helper),
        Holds::CowFile => {
            // The header of drivers/md/dm-snap-persistent.c: "SnAp", valid, version 1, chunks
            // of 8 sectors; livecd-tools makes such files of some MiB.
            let mut file = b"SnAp\x01\0\0\0\x01\0\0\0\x08\0\0\0".to_vec();
            file.resize(1 << 20, 0);
            write(&root.join(overlay), &file)
        }
        Holds::Grub => grub(root),
    }
    .doing(match spec.fs {
        FileSystem::Vfat => "laying out files of a vfat",
        _ => "laying out files of a partition",
    })
}

/// How GRUB's wiki page "Loopback.cfg" has an image's own menu shown.
const GRUB_MENU: &str = "search --no-floppy --file --set=disk /isos/linux.iso
set iso_path=/isos/linux.iso
export iso_path
loopback loop ($disk)$iso_path
set root=(loop)
configfile /boot/grub/loopback.cfg
";
/// Modules for what stands there and for what is on the disk.
const GRUB_MODULES: &str = "normal configfile search search_fs_file loopback part_gpt ext2 \
                            iso9660 linux test echo efi_gop efi_uga";

/// GRUB as one program, with this menu in it.
fn grub(root: &Path) -> Result<()> {
    let menu = root.join("grub.cfg");
    write(&menu, GRUB_MENU.as_bytes())?;
    fs::create_dir_all(root.join("EFI/BOOT"))?;
    tool::run(
        Command::new("grub-mkstandalone")
            .args(["--format=x86_64-efi", "--locales=", "--fonts=", "--themes="])
            .arg(format!("--modules={GRUB_MODULES}"))
            .arg(format!("--install-modules={GRUB_MODULES}"))
            .arg("--output")
            .arg(root.join("EFI/BOOT/BOOTX64.EFI"))
            .arg(format!("boot/grub/grub.cfg={}", menu.display())),
    )?;
    Ok(fs::remove_file(&menu)?)
}

/// The root of a live system, in the form that is asked for.
pub fn lay_out_root(spec: &PartitionSpec, workshop: &Workshop, root: &Path) -> Result<()> {
    let Some(form) = spec.root else {
        return Ok(());
    };
    let to = root.join(spec.at.as_deref().unwrap_or(form.usual_path()));
    let from = match form {
        RootForm::Tree => {
            let tree = trees::marker_root(workshop.cache)?.path;
            return tool::run(Command::new("cp").arg("-a").arg(tree.join(".")).arg(root));
        }
        RootForm::Iso => match workshop.live {
            Some(live) => live.iso.clone(),
            None => fail!("no medium is called live"),
        },
        form => roots::image(workshop.cache, form)?,
    };
    fs::create_dir_all(to.parent().unwrap_or(root))?;
    tool::run(Command::new("cp").arg("--sparse=always").args([&from, &to]))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, content).doing(format!("writing {}", path.display()))
}

/// A closed session, as `layout.rs` describes it, 512 bytes long.
fn session(id: &str, root: &Path) -> Result<()> {
    let current = root.join("liveroot/current");
    fs::create_dir_all(current.join("upper/srv"))?;
    make_work(&current.join("work"))?;
    fs::write(current.join("upper/srv/left-before"), "before\n")?;
    let text = format!(
        "{{\"schema\":1,\"image\":\"{id}\",\"label\":\"LIVEROOT\",\"made\":1700000000,\"used\":1700000000,\"open\":false}}"
    );
    write(
        &current.join("session.json"),
        format!("{text:<511}\n").as_bytes(),
    )
}

fn make_work(path: &Path) -> Result<()> {
    Ok(fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?)
}

/// Upper and work directories as overlayfs leaves them without `redirect_dir`: a renamed
/// directory was copied, what is gone is a whiteout (a character device 0:0), and a
/// directory in place of one of the image is opaque (Documentation/filesystems/overlayfs.rst).
/// The changes are those of the act `change`.
fn dracut(upper: &Path, helper: &Path) -> Result<()> {
    make_work(&upper.with_file_name("ovlwork").join("work"))?;
    let image = upper.join("srv/image");
    fs::create_dir_all(image.join("new-dir"))?;
    fs::set_permissions(upper, fs::Permissions::from_mode(0o755))?;
    for (name, text) in [
        ("created", "of the boot\n"),
        ("appended", "of the image\nmore of the boot\n"),
        ("mode", "of the image\n"),
        ("owner", "of the image\n"),
        ("xattr", "of the image\n"),
        ("new-file", "of the image\n"),
        ("new-dir/file", "of the image\n"),
    ] {
        fs::write(image.join(name), text)?;
    }
    fs::set_permissions(image.join("mode"), fs::Permissions::from_mode(0o751))?;
    chown(image.join("owner"), Some(1234), Some(2345))?;
    let set = |path: &Path, name: &str, value: &str| {
        tool::run(
            Command::new(helper)
                .arg("setxattr")
                .arg(path)
                .args([name, value]),
        )
    };
    set(&image.join("xattr"), "user.liveroot", "changed")?;
    set(&image.join("new-dir"), "trusted.overlay.opaque", "y")?;
    for gone in ["gone-file", "gone-dir", "old-file", "old-dir"] {
        tool::run(
            Command::new("mknod")
                .arg(image.join(gone))
                .args(["c", "0", "0"]),
        )?;
    }
    // A directory of the image that was removed and made anew.
    let again = upper.join("opt/of-the-image");
    fs::create_dir_all(&again)?;
    fs::write(again.join("above"), "of the boot\n")?;
    set(&again, "trusted.overlay.opaque", "y")
}
