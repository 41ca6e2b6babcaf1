//! `rd.live.ram` and `rd.writable.fsimg`: the image is copied to memory of its own, and the
//! medium is let go, wholly. What hinders that is a notice, and the medium is used.

use super::blocks::{self, SILENCE, Source, Trouble};
use super::examine::Stack;
use super::failure::Failure;
use super::imagefile::{Holder, ImageFile};
use super::loader::Loader;
use super::lower::{self, Lower};
use super::machine::Machine;
use super::progress::ProgressLine;
use super::report::{CopyReport, Report, micros};
use super::updates;
use super::within::{ANSWERS, within};
use crate::plan::copy::{Memory, Place, decide_copy, decide_place, parse_memory};
use crate::plan::image::is_packed;
use crate::plan::progress::Progress;
use crate::request::{Copy, Host, Request};
use crate::sys::mount::{self, Access, Detached, MountOption};
use crate::sys::{Error, block, clock};
use crate::units::Bytes;
use rustix::fs::{Mode, OFlags, openat};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What people see of it.
const WHAT: &str = "Copying to memory";

/// What the words ask for, if they do: the stack with the copy in the image's place, or as it
/// was.
///
/// # Errors
/// When the copy failed and the medium can't be read any more.
pub fn copy(
    machine: &Machine,
    request: &Request,
    loader: &Loader,
    mut stack: Stack,
    report: &mut Report,
) -> Result<Stack, Failure> {
    let (word, image) = match request.copy {
        Copy::Nothing => return Ok(stack),
        Copy::Image => ("rd.live.ram", stack.image.as_ref()),
        Copy::Inner => {
            let inner = stack.lower.inner.as_ref();
            ("rd.writable.fsimg", inner.or(stack.image.as_ref()))
        }
    };
    let stays = "The system runs from the medium, which must stay in";
    let Some(image) = image else {
        report.tell(format!(
            "{stays}: its own file system is the root, and {word} copies images only."
        ));
        return Ok(stack);
    };
    if image.holder == Holder::Memory {
        log::info!("{}: in memory already", image.name);
        return Ok(stack);
    }
    if let Err(why) = decide_copy(image.size, memory(machine), request.min_memory) {
        report.tell(format!(
            "{stays}, for there is too little memory to copy it ({word}): {why}."
        ));
        return Ok(stack);
    }
    let place = decide_place(is_packed(image.fs), request.copy);
    let copied = take(
        machine,
        loader,
        request,
        (image, &stack.node),
        &place,
        report,
    );
    match copied {
        Ok((image, lower)) => {
            stack.memory = blocks::pages(image.size);
            // What they were falls here, before what it lay on.
            stack.lower = lower;
            stack.image = Some(image);
            Ok(release(machine, request, stack, report))
        }
        // Nothing can be read of it any more: not for the system that would run from it either.
        Err(Trouble::Silent(why)) => Err(Failure::Medium(dead(&stack.node, why))),
        Err(Trouble::Failed(why)) => {
            readable(&stack.node).map_err(Failure::Medium)?;
            report.tell(format!(
                "{stays}, for it could not be copied to memory ({word}): {why}."
            ));
            Ok(stack)
        }
    }
}

/// How much memory the machine has.
pub fn memory(machine: &Machine) -> Memory {
    parse_memory(&std::fs::read_to_string(machine.proc.join("meminfo")).unwrap_or_default())
}

/// Whether a medium still answers, and not the kernel for it.
fn readable(node: &Path) -> Result<(), Error> {
    let at = node.to_owned();
    let read = within(ANSWERS, move || block::read_uncached(&at));
    read.unwrap_or_else(|why| Err(dead(node, why)))
}

/// What does not answer at all.
fn dead(node: &Path, why: String) -> Error {
    Error {
        kernel: Some(why),
        ..Error::new("reading", node.display(), libc::EIO)
    }
}

/// The copy, and what is mounted from it. On failure nothing of it is left.
fn take(
    machine: &Machine,
    loader: &Loader,
    request: &Request,
    (image, node): (&ImageFile, &Path),
    place: &Place,
    report: &mut Report,
) -> Result<(ImageFile, Lower), Trouble> {
    let tmpfs = mount_memory(blocks::pages(image.size)).map_err(|e| e.to_string())?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target = openat(tmpfs.root(), place.name, flags, Mode::from_raw_mode(0o444))
        .map(File::from)
        .map_err(|e| format!("making {} in memory: {e}", place.name))?;
    let took = copy_shown(machine, image, node, &target)?;
    drop(target);
    // Nothing is written there from now on.
    let _ = mount::set_access(tmpfs.root(), Path::new(""), Access::ReadOnly);
    let at = machine.run.join("initramfs").join(place.dir);
    let placed = place_copy(machine, tmpfs, &at, place).map_err(|e| e.to_string());
    let mounted = placed.and_then(|file| {
        let name = format!("the copy of {}", image.name);
        let copy = ImageFile::take(file, &name, at.join(place.name), Holder::Memory)?;
        let lower = lower::mount_image(machine, loader, &copy, request.init.as_deref())?;
        Ok((copy, lower))
    });
    let mounted = mounted.inspect_err(|_| remove(machine, &at, place))?;
    let rate = Progress {
        what: WHAT,
        done: image.size,
        total: image.size,
        took,
    };
    log::info!(
        "{} on {}: copied to memory, {} in {}.{:02} s, {}/s",
        image.name,
        node.display(),
        Bytes(image.size),
        took.as_secs(),
        took.subsec_millis() / 10,
        rate.rate()
    );
    report.copy = Some(CopyReport {
        what: match request.copy {
            Copy::Inner if place.link.is_none() => "inner",
            _ => "image",
        },
        from: image.place.display().to_string(),
        path: at.join(place.name).display().to_string(),
        size: image.size,
        took_us: micros(took),
        mib_per_s: rate.rate().0 >> 20,
    });
    Ok(mounted)
}

/// Exactly as large as is needed, so that it takes no share of what /run or the upper may take.
/// Huge pages where the kernel has them: fewer steps at each read.
fn mount_memory(size: u64) -> Result<Detached, Error> {
    let options = [
        MountOption::value("mode", "0755"),
        MountOption::value("size", size.to_string()),
        MountOption::value("huge", "within_size"),
    ];
    let attempt = |options| Detached::mount("tmpfs", "liveroot-image", Access::ReadWrite, options);
    attempt(&options).or_else(|_| attempt(&options[..2]))
}

/// Copies, and shows how it gets on; the time that it took.
fn copy_shown(
    machine: &Machine,
    image: &ImageFile,
    node: &Path,
    target: &File,
) -> Result<Duration, Trouble> {
    // A device, and a file that the words name, are called by their path alone.
    let name = match image.place == node {
        true => image.name.clone(),
        false => format!("{} on {}", image.name, node.display()),
    };
    let file = image.file.try_clone();
    let file = file.map_err(|e| format!("opening {name}: {e}"))?;
    let from = Source::of_file(file, name, image.size);
    let began = clock::since_boot();
    let mut line = ProgressLine::new(machine);
    let at = |done| Progress {
        what: WHAT,
        done,
        total: image.size,
        took: clock::since_boot().saturating_sub(began),
    };
    let mut last = at(0);
    let copied = blocks::copy(from, target, SILENCE, &mut |done| {
        last = at(done);
        line.show(&last);
    });
    line.end(&last);
    copied.map(|()| last.took)
}

/// Gives the memory its place, with the name that dracut's users know; the copy, open.
fn place_copy(machine: &Machine, tmpfs: Detached, at: &Path, place: &Place) -> Result<File, Error> {
    std::fs::create_dir_all(at).map_err(|e| Error::io("creating", at.display(), &e))?;
    tmpfs.attach(at)?;
    if let Some(link) = place.link {
        let link = machine.run.join("initramfs").join(link);
        // Beside it: /run moves, and the shutdown program has another root.
        let target = PathBuf::from(place.dir).join(place.name);
        std::os::unix::fs::symlink(target, &link)
            .map_err(|e| Error::io("linking", link.display(), &e))?;
    }
    let file = at.join(place.name);
    File::open(&file).map_err(|e| Error::io("opening", file.display(), &e))
}

/// A copy that is of no use goes, with its memory.
fn remove(machine: &Machine, at: &Path, place: &Place) {
    if let Some(link) = place.link {
        // It may not have come so far.
        let _ = std::fs::remove_file(machine.run.join("initramfs").join(link));
    }
    if let Err(e) = mount::unmount(at, true) {
        log::warn!("{e}");
    }
}

/// The copy has taken the image's place. All that holds the medium, and the disk that it is a
/// file on, falls: from the top to the bottom.
fn release(machine: &Machine, request: &Request, stack: Stack, report: &mut Report) -> Stack {
    if let (Host::Dracut { .. }, Some(medium)) = (request.host, &stack.medium)
        && let Err(why) = updates::keep(machine, medium, updates::MOST)
    {
        report.tell(format!(
            "The medium must stay in until the system has started, for its updates could not be \
             copied to memory: {why}."
        ));
        return stack;
    }
    let Stack {
        medium,
        barrier,
        host,
        ..
    } = stack;
    drop(medium);
    drop(barrier);
    drop(host);
    if let Some(medium) = &mut report.medium {
        medium.released = true;
        let disk = medium.iso.as_ref().map(|iso| &iso.device);
        let device = disk.unwrap_or(&medium.device).clone();
        report.tell(format!(
            "The image is in memory: the medium ({device}) can be taken out, unless changes are kept on it."
        ));
    }
    Stack {
        medium: None,
        barrier: None,
        host: None,
        ..stack
    }
}
