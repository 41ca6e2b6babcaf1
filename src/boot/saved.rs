//! Saved changes: the partition is checked, mounted, and its directories are made ready.

use super::dirs::{capacity, clear, dress_like, is_dir_below, make_dirs_below};
use super::examine::open_below;
use super::hunt::upper::Keeper;
use super::loader::Loader;
use super::machine::Machine;
use super::partition::{self, Mounted, check_for_writing, usable_fs};
use super::report::{Report, UpperReport};
use super::reserve;
use super::session::{self, Sessions};
use crate::layout::{CURRENT, SESSION_JSON, UPPER_DIR};
use crate::ondisk::{FsKind, session::parse_session};
use crate::plan::check::Checked;
use crate::plan::session::{Last, decide_last};
use crate::plan::spot::Spot;
use crate::request::{Directory, Place, UpperRequest};
use crate::sys::mount::{self, Access, shown_number, shown_options};
use crate::sys::{Error, barrier, block};
use crate::units::ImageId;
use rustix::fs::ResolveFlags;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What the saved changes are compared with and named after.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The image's id.
    pub image: Option<ImageId>,
    /// The medium's label, empty when it has none.
    pub label: String,
    /// The medium's UUID, likewise.
    pub uuid: String,
    /// `rd.live.dir`.
    pub live_dir: String,
}

/// The saved changes, mounted.
#[derive(Debug)]
pub struct Saved {
    /// upperdir and workdir; no workdir when they are only seen.
    pub upper: PathBuf,
    /// As above.
    pub work: Option<PathBuf>,
    /// The session's file below the mount, while it is ours to close.
    pub session: Option<String>,
    /// Where on the file system they are.
    pub spot: Spot,
}

impl Saved {
    /// An overlay could not be stacked on it, so nothing was written: it is closed again and
    /// unmounted. How the session before ended has been told.
    pub fn release(&self, machine: &Machine) {
        let at = machine.saved();
        if let Some(session) = &self.session {
            session::mark_closed(&at.join(session));
        }
        if let Err(e) = mount::unmount(&at, false) {
            log::warn!("{e}");
        }
    }
}

/// Mounts the saved changes at /run/initramfs/overlayfs and makes them ready. The reason, in
/// a sentence, when they can't be used; then nothing of them is mounted.
pub fn open(
    machine: &Machine,
    loader: &Loader,
    request: &UpperRequest,
    keeper: &Keeper,
    own: &Own,
    report: &mut Report,
) -> Result<Saved, String> {
    let node = block::node(&machine.dev, &keeper.device.name);
    let fs = usable_fs(keeper, &node)?;
    let protected = barrier::is_read_only(&node);
    let readonly = request.readonly || protected;
    if protected && request.required && !request.readonly {
        return Err(format!(
            "{} is write-protected: move the switch on the stick or card",
            node.display()
        ));
    }
    let checked = if readonly {
        Checked::Skipped("nothing is written to it".to_owned())
    } else {
        check_for_writing(machine, &node, fs, report)?
    };
    let at = machine.saved();
    let access = if readonly {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    };
    let Mounted { mount, barrier } = partition::mount(loader, &node, fs, access)?;
    std::fs::create_dir_all(&at).map_err(|e| format!("creating {}: {e}", at.display()))?;
    mount.attach(&at).map_err(|e| e.to_string())?;
    let opened = ready(machine, loader, request, keeper, own, readonly, report);
    let (saved, last) = match opened {
        Ok(done) => done,
        Err(why) => {
            // The reason is what counts; a mount that stays is named in /proc/mounts.
            let _ = mount::unmount(&at, false);
            return Err(why);
        }
    };
    if let Some(barrier) = barrier {
        barrier.keep();
    }
    if readonly {
        let node = node.display();
        report.tell(match request.readonly {
            true => format!(
                "The saved changes on {node} are seen and stay as they are (rd.overlay.readonly): \
                 changes of this session are lost at its end."
            ),
            false => format!(
                "{node} is write-protected: saved changes are seen, changes of this session are \
                 lost at its end."
            ),
        });
    }
    tell_last(last, &checked, &node, readonly, report);
    let below = saved.upper.strip_prefix(&at).unwrap_or(&saved.upper);
    report.upper = Some(UpperReport {
        kind: if readonly { "saved-readonly" } else { "saved" },
        size: capacity(&at),
        options: shown_options(&machine.proc, &at),
        device: Some(node.display().to_string()),
        fs: Some(fs.name()),
        number: shown_number(&machine.proc, &at),
        directory: Some(format!("/{}", below.display())),
        why: keeper.why.clone(),
        last: Some(last.name()),
        check: Some(checked.to_string()),
        image: own.image.as_ref().map(ToString::to_string),
    });
    Ok(saved)
}

/// Chooses the place on the mounted file system and makes it ready.
fn ready(
    machine: &Machine,
    loader: &Loader,
    request: &UpperRequest,
    keeper: &Keeper,
    own: &Own,
    readonly: bool,
    report: &mut Report,
) -> Result<(Saved, Last), String> {
    let at = machine.saved();
    let image = machine.rootfsbase();
    let text = |e: Error| e.to_string();
    let spot = choose_spot(&at, request, keeper, own)?;
    let sessions = Sessions {
        at: &at,
        spot: &spot,
    };
    sessions.refuse_files()?;
    let there = is_dir_below(&at, &spot.upper).map_err(text)?;
    let kept = sessions.kept(there)?;
    let last = decide_last(&kept);
    let upper = at.join(&spot.upper);
    if readonly && !there {
        return Err(format!(
            "there are no saved changes in /{} of {}, and nothing may be written to it",
            spot.upper, keeper.device.name
        ));
    }
    if readonly {
        session::look(request, &kept, own, report);
        let saved = Saved {
            upper,
            work: None,
            session: None,
            spot,
        };
        return Ok((saved, last));
    }
    reserve::release(&at, &spot);
    session::settle(machine, loader, request, &sessions, kept, own, report)?;
    if make_dirs_below(&at, &spot.upper, 0o755, &image).map_err(text)? {
        dress_like(&image, &upper).map_err(text)?;
    }
    let work = at.join(&spot.work);
    if !make_dirs_below(&at, &spot.work, 0o700, &image).map_err(text)? {
        clear(&work).map_err(text)?;
    }
    sessions.mark_open(own, report);
    let saved = Saved {
        upper,
        work: Some(work),
        session: Some(spot.session.clone()),
        spot,
    };
    Ok((saved, last))
}

/// Ours on partitions of our type, and wherever we have been before; else dracut's.
fn choose_spot(
    at: &Path,
    request: &UpperRequest,
    keeper: &Keeper,
    own: &Own,
) -> Result<Spot, String> {
    if let Place::Named(_, Directory::Given(path)) = &request.place {
        let spot = Spot::beside(path);
        if spot.work == spot.upper {
            return Err(format!("/{path} is the name of the work directory"));
        }
        return Ok(spot);
    }
    let dracut = Spot::dracut(&own.live_dir, &own.label, &own.uuid);
    let there = |path: &str| std::fs::symlink_metadata(at.join(path)).is_ok();
    if keeper.ours || (there(UPPER_DIR) && !there(&dracut.upper)) {
        return Ok(Spot::ours());
    }
    Ok(dracut)
}

/// The user hears of an end that was none.
fn tell_last(last: Last, checked: &Checked, node: &Path, readonly: bool, report: &mut Report) {
    if last != Last::NotClosed {
        return;
    }
    let result = match checked {
        _ if readonly => "Its latest changes may be missing here".to_owned(),
        Checked::Clean => "The file system was checked and is in order".to_owned(),
        Checked::Repaired => "The file system was checked and repaired".to_owned(),
        other => format!("The file system was {other}"),
    };
    report.tell(format!(
        "The last session with saved changes on {} did not end cleanly (power loss?). {result}.",
        node.display()
    ));
}

/// The image that a partition of ours was used with last, read without touching it.
pub fn peek_image(machine: &Machine, loader: &Loader, name: &str, fs: FsKind) -> Option<ImageId> {
    let node = block::node(&machine.dev, name);
    let mounted = partition::mount(loader, &node, fs, Access::ReadOnly).ok()?;
    let path = format!("{UPPER_DIR}/{CURRENT}/{SESSION_JSON}");
    let file = open_below(mounted.mount.root(), &path, ResolveFlags::BENEATH).ok()?;
    let mut bytes = Vec::new();
    File::from(file).take(4096).read_to_end(&mut bytes).ok()?;
    parse_session(&bytes).ok()?.image
}
