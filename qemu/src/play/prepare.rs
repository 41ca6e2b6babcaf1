//! What a machine is started with: media, drives, and for direct boots the kernel's words.

use crate::disk::Workshop;
use crate::dracut::{self, Dracut};
use crate::fail;
use crate::glob;
use crate::kernels;
use crate::machine::Direct;
use crate::machine::drive::{Bus, Drive};
use crate::media::{self, Medium, Order};
use crate::parts;
use crate::roots;
use crate::scenario::{Boot, Content, RootForm, Scenario, TreeKind};
use crate::serve::Server;
use crate::trees::{self, Tree};
use crate::trouble::{Result, While};
use crate::world::World;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An initramfs with files of the scenario's, in the directory of the boot.
pub const APPENDED: &str = "initramfs.img";

/// The media of a scenario, by name.
pub fn media(world: &World, scenario: &Scenario) -> Result<BTreeMap<String, Medium>> {
    let mut media = BTreeMap::new();
    for (name, content) in &scenario.media {
        let medium = if content.label_only {
            media::label_only(&world.cache, &content.label)?
        } else {
            live(world, scenario, content)?
        };
        let medium = match content.implant {
            true => media::implanted(&world.cache, medium, content.spoil)?,
            false => medium,
        };
        media.insert(name.clone(), medium);
    }
    Ok(media)
}

fn live(world: &World, scenario: &Scenario, content: &Content) -> Result<Medium> {
    // All speak on the serial line, and a panic ends the machine.
    let append = format!("console=ttyS0 panic=-1 {}", content.append);
    let (tree, tree_name) = tree(world, scenario, content)?;
    let label = content.label.replace([' ', '#', '/'], "_");
    let order = Order {
        name: &format!("{tree_name}-{label}"),
        label: &content.label,
        append: append.trim(),
    };
    media::live(&world.cache, &world.product, &tree, &order)
}

fn tree(world: &World, scenario: &Scenario, content: &Content) -> Result<(Tree, String)> {
    if content.tree == TreeKind::Debian {
        let tree = trees::debian_for_boots(&world.cache)?;
        return Ok((tree, "debian-boots".into()));
    }
    let kernel = content.kernel.as_ref().unwrap_or(&scenario.kernel);
    let tree = trees::marker(&world.cache, &kernels::kernel(&world.cache, kernel)?)?;
    Ok((tree, format!("marker-{kernel}")))
}

/// Disks get a file of their own that the guest can write to: afterwards all of it that was
/// not made for that must still be what it was. CD drives read the original.
pub fn drives(
    world: &World,
    scenario: &Scenario,
    media: &BTreeMap<String, Medium>,
    dir: &Path,
) -> Result<Vec<Drive>> {
    let workshop = Workshop {
        live: media.get("live"),
        helper: parts::helper(&world.cache)?,
        cache: &world.cache,
    };
    let mut drives = Vec::new();
    for (number, spec) in scenario.drives.iter().enumerate() {
        let id = scenario.drive_id(number);
        let medium = spec.medium.as_ref().and_then(|name| media.get(name));
        let to = dir.join(format!("{id}.img"));
        let file = if spec.bus.is_disk() && (medium.is_some() || spec.size.is_some()) {
            workshop
                .make(spec, medium, &to)
                .doing(format!("making drive {id}"))?;
            if spec.bus == Bus::Sd {
                // QEMU makes only cards of a power of two.
                let file = fs::OpenOptions::new().write(true).open(&to)?;
                file.set_len(file.metadata()?.len().next_power_of_two())?;
            }
            Some(to)
        } else {
            medium.map(|medium| medium.iso.clone())
        };
        drives.push(Drive {
            id,
            bus: spec.bus,
            writable: spec.bus.is_disk() && file.is_some() && !spec.read_only,
            file,
            present: !spec.absent,
            serial: spec.serial.clone(),
        });
    }
    Ok(drives)
}

/// Serves what the scenario asks for, if it asks.
pub fn server(world: &World, scenario: &Scenario) -> Result<Option<Server>> {
    if scenario.serve.is_empty() {
        return Ok(None);
    }
    let image =
        |(path, form): (&String, &RootForm)| Ok((path.clone(), roots::image(&world.cache, *form)?));
    let files = scenario.serve.iter().map(image).collect::<Result<_>>()?;
    Server::start(files).map(Some)
}

/// The kernel with the initramfs and the words of a medium, as its own boot loader would
/// start it; but on the console that the scenario asks for.
pub fn direct(
    world: &World,
    scenario: &Scenario,
    boot: &Boot,
    media: &BTreeMap<String, Medium>,
    dir: &Path,
) -> Result<Direct> {
    let name = boot.medium.as_deref().unwrap_or("live");
    let (Some(medium), Some(content)) = (media.get(name), scenario.media.get(name)) else {
        fail!("a direct boot needs a medium called {name:?}")
    };
    let leave_out = |word: &&str| {
        let mut patterns = scenario.without.iter().chain(&boot.without);
        word.starts_with("console=") || patterns.any(|pattern| glob::fits(pattern, word))
    };
    let baked: Vec<&str> = words_of(&medium.words)
        .into_iter()
        .filter(|word| !leave_out(word))
        .collect();
    let mut words = vec![baked.join(" "), format!("console={}", scenario.console)];
    words.extend([scenario.words.clone(), boot.words.clone()]);
    words.extend(boot.end.map(|end| format!("lr.end={}", end.word())));
    words.retain(|word| !word.is_empty());
    let words = words.join(" ");
    let Dracut { kernel, initrd } = match boot.dracut {
        Some(kind) => dracut::for_boot(world, scenario.version, kind, &boot.with)?,
        None => Dracut {
            kernel: kernel(world, scenario, content)?,
            initrd: medium.initrd.clone(),
        },
    };
    Ok(Direct {
        kernel,
        initrd: with_files(world, boot, medium, initrd, dir)?,
        words,
    })
}

/// The initramfs with the files that the scenario puts into it; an ISO is that of `medium`.
fn with_files(
    world: &World,
    boot: &Boot,
    medium: &Medium,
    initrd: PathBuf,
    dir: &Path,
) -> Result<PathBuf> {
    if boot.initramfs.is_empty() && boot.initramfs_roots.is_empty() {
        return Ok(initrd);
    }
    let content = dir.join("initramfs");
    let place = |path: &str| {
        let to = content.join(path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap_or(&content)).map(|()| to)
    };
    for (path, text) in &boot.initramfs {
        let to = place(path)?;
        fs::write(&to, text)?;
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(&to, PermissionsExt::from_mode(mode))?;
    }
    for (path, form) in &boot.initramfs_roots {
        let image = match form {
            RootForm::Iso => medium.iso.clone(),
            form => roots::image(&world.cache, *form)?,
        };
        fs::copy(image, place(path)?)?;
    }
    let to = dir.join(APPENDED);
    dracut::with_files(&initrd, &content, &to)?;
    fs::remove_dir_all(&content)?;
    Ok(to)
}

fn kernel(world: &World, scenario: &Scenario, content: &Content) -> Result<PathBuf> {
    if content.tree == TreeKind::Debian {
        return trees::kernel_elf(&world.cache, &trees::debian(&world.cache)?);
    }
    let name = content.kernel.as_ref().unwrap_or(&scenario.kernel);
    Ok(kernels::kernel(&world.cache, name)?.vmlinux)
}

/// The words of a command line; blanks in double quotes part none.
fn words_of(line: &str) -> Vec<&str> {
    let mut quoted = false;
    let part = |c: char| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    };
    line.split(part).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_stays_whole() {
        assert_eq!(
            words_of("\"root=live:LABEL=A B\"  quiet"),
            ["\"root=live:LABEL=A B\"", "quiet"]
        );
    }
}
