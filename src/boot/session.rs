//! Sessions of saved changes: found, put aside, thrown away, marked.

use super::ask;
use super::loader::Loader;
use super::machine::Machine;
use super::report::Report;
use super::saved::Own;
use crate::layout::{SESSION_JSON, SESSION_SCHEMA, Session};
use crate::ondisk::session::{Foreign, parse_session, session_bytes};
use crate::ondisk::snapshot;
use crate::plan::session::{KEPT_OTHER, Kept, Use, decide_session};
use crate::plan::spot::Spot;
use crate::request::{OnChange, UpperRequest};
use crate::sys::clock;
use crate::units::{Moment, shown};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// The sessions at one spot of a mounted file system.
#[derive(Debug)]
pub struct Sessions<'a> {
    /// Where it is mounted.
    pub at: &'a Path,
    /// The spot.
    pub spot: &'a Spot,
}

/// Numbers of sessions that are put aside end below this.
const MOST_ASIDE: u32 = 1000;

/// Seconds of the question what to do with another image's changes.
const QUESTION: Duration = Duration::from_secs(10);

/// Does what is decided about the changes that are there. The reason, if it can't be done.
pub fn settle(
    machine: &Machine,
    loader: &Loader,
    request: &UpperRequest,
    sessions: &Sessions<'_>,
    kept: Kept,
    own: &Own,
    report: &mut Report,
) -> Result<(), String> {
    if let Err(why) = sessions.finish_discarding() {
        report.warn(why);
    }
    if request.reset {
        if kept != Kept::Nothing {
            sessions.discard()?;
            report.tell("The saved changes were thrown away (rd.overlay.reset).".to_owned());
        }
        return Ok(());
    }
    let mut step = decide_session(
        &kept,
        own.image.as_ref(),
        request.on_change,
        request.may_ask,
    );
    if step == Use::Ask {
        step = ask_which(machine, loader, &kept);
    }
    match step {
        // A power cut may have come between putting aside and taking up.
        Use::Create => drop(sessions.take_up(own)?),
        Use::Keep | Use::Ask => {}
        Use::KeepOther => report.tell(KEPT_OTHER.to_owned()),
        Use::Fresh => {
            let aside = sessions.put_aside()?;
            let goes_on = match sessions.take_up(own)? {
                Some(taken) => format!("those of this image (/{taken}) are taken up again"),
                None => "this session begins anew".to_owned(),
            };
            report.tell(format!(
                "The saved changes were made on another image. They are put aside ({}), and \
                 {goes_on}. `liveroot sessions` lists them; docs/saved-changes.md tells how they come \
                 back.",
                sessions.at.join(aside).display()
            ));
        }
    }
    Ok(())
}

/// The same for changes that are only seen: nothing is put aside or thrown away.
pub fn look(request: &UpperRequest, kept: &Kept, own: &Own, report: &mut Report) {
    if request.reset {
        report.tell(
            "The saved changes were not thrown away (rd.overlay.reset), for nothing may be written \
             to them."
                .to_owned(),
        );
    }
    let step = decide_session(kept, own.image.as_ref(), OnChange::Keep, false);
    if step == Use::KeepOther {
        report.tell(KEPT_OTHER.to_owned());
    }
}

/// Marks a session as closed, in place.
pub fn mark_closed(path: &Path) {
    let Some(session) = read_session(path).and_then(Result::ok) else {
        return;
    };
    let closed = Session {
        open: false,
        ..session
    };
    if let Err(e) = write_session(path, &closed) {
        log::warn!("marking the session in {}: {e}", path.display());
    }
}

fn ask_which(machine: &Machine, loader: &Loader, kept: &Kept) -> Use {
    let of = match kept {
        Kept::Marked(session) => format!(
            " ({}, id {}, used {})",
            shown(&session.label),
            session.image.as_ref().map_or("none", |id| id.short()),
            Moment(session.used)
        ),
        _ => String::new(),
    };
    let text = format!(
        "\n The saved changes were made on another image{of}.\n\
         \x20  f  put them aside and begin anew (nothing is lost)\n\
         \x20  k  use them all the same (programs may break)\n"
    );
    match ask::question(
        machine,
        loader,
        &text,
        b"fk",
        (b'f', "Beginning anew"),
        QUESTION,
    ) {
        b'k' => Use::KeepOther,
        _ => Use::Fresh,
    }
}

impl Sessions<'_> {
    /// What is there, if the upper directory is. What a newer version has made is left alone.
    pub fn kept(&self, there: bool) -> Result<Kept, String> {
        let path = self.at.join(&self.spot.session);
        Ok(match read_session(&path) {
            _ if !there => Kept::Nothing,
            Some(Ok(session)) => Kept::Marked(session),
            Some(Err(Foreign::Newer(schema))) => {
                return Err(format!(
                    "they were used by a newer liveroot (session.json has schema {schema}, known here \
                     is {SESSION_SCHEMA}) and are left as they are"
                ));
            }
            // dracut's, or a damaged file: the changes themselves are what counts.
            Some(Err(Foreign::Damaged(why))) => {
                log::warn!("{}: {why}", path.display());
                Kept::Unmarked
            }
            None => Kept::Unmarked,
        })
    }

    /// A file in the place of the upper directory is somebody's, and stays.
    pub fn refuse_files(&self) -> Result<(), String> {
        let path = self.at.join(&self.spot.upper);
        let Ok(meta) = std::fs::symlink_metadata(&path) else {
            return Ok(());
        };
        if meta.is_dir() {
            return Ok(());
        }
        let shown = format!("/{}", self.spot.upper);
        let mut head = Vec::new();
        if meta.is_file() {
            let file = File::open(&path).map_err(|e| format!("opening {shown}: {e}"))?;
            // What can't be read is no snapshot that we know.
            let _ = file.take(snapshot::HEAD).read_to_end(&mut head);
        }
        if snapshot::is_cow(&head) {
            return Err(format!(
                "{shown} is a device-mapper snapshot of dmsquash-live (DM_snapshot_cow), which is not \
                 used here; it was left as it is: start the old image with it once more and copy out what you need"
            ));
        }
        Err(format!(
            "{shown} is a file; saved changes need a directory there"
        ))
    }

    /// Renames what is there to the first free number.
    fn put_aside(&self) -> Result<String, String> {
        let free =
            |n: &u32| std::fs::symlink_metadata(self.at.join(self.spot.aside(*n).0)).is_err();
        let n = (1..MOST_ASIDE).find(free).ok_or_else(|| {
            format!(
                "{} sessions are put aside beside /{} already: remove some",
                MOST_ASIDE - 1,
                self.spot.base
            )
        })?;
        let (base, session) = self.spot.aside(n);
        self.rename(&self.spot.base, &base)?;
        match session {
            Some(session) if self.at.join(&self.spot.session).exists() => {
                self.rename(&self.spot.session, &session)?;
            }
            _ => {}
        }
        Ok(base)
    }

    /// Two images may share a partition in turn: what was put aside for the other one and was
    /// made on this image comes back, the latest of several. Its name before.
    fn take_up(&self, own: &Own) -> Result<Option<String>, String> {
        let read = |n| {
            let (base, session) = self.spot.aside(n);
            let file = session.unwrap_or_else(|| format!("{base}/{SESSION_JSON}"));
            let session = read_session(&self.at.join(&file))?.ok()?;
            (session.image.is_some() && session.image == own.image).then_some((session.used, n))
        };
        // Numbers are given in order: a gap is one that was taken up or removed by hand.
        let Some((_, n)) = (1..MOST_ASIDE).filter_map(read).max() else {
            return Ok(None);
        };
        let (base, session) = self.spot.aside(n);
        self.rename(&base, &self.spot.base)?;
        if let Some(session) = session {
            self.rename(&session, &self.spot.session)?;
        }
        Ok(Some(base))
    }

    /// Renamed first: a power cut in the middle leaves no half of it in use.
    fn discard(&self) -> Result<(), String> {
        self.rename(&self.spot.base, &self.spot.discarded())?;
        self.finish_discarding()
    }

    /// Removes what an earlier boot had begun to throw away.
    fn finish_discarding(&self) -> Result<(), String> {
        let path = self.at.join(self.spot.discarded());
        match std::fs::remove_dir_all(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("removing /{}: {e}", self.spot.discarded()))
            }
            _ => Ok(()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), String> {
        std::fs::rename(self.at.join(from), self.at.join(to))
            .map_err(|e| format!("renaming /{from} to /{to}: {e}"))
    }

    /// Marks the session as in use, on the disk. A full or failing file system is no reason
    /// not to use it.
    pub fn mark_open(&self, own: &Own, report: &mut Report) {
        let path = self.at.join(&self.spot.session);
        let now = clock::wall().as_secs();
        let before = read_session(&path).and_then(Result::ok);
        let made = before.as_ref().map_or(now, |session| session.made);
        let session = Session {
            schema: SESSION_SCHEMA,
            // An image that claims no id says nothing of whose changes they are.
            image: own
                .image
                .clone()
                .or(before.and_then(|session| session.image)),
            label: own.label.clone(),
            made,
            used: now,
            open: true,
        };
        let written = write_session(&path, &session)
            .and_then(|()| File::open(self.at))
            .and_then(|root| Ok(rustix::fs::syncfs(&root)?));
        if let Err(e) = written {
            report.warn(format!("marking the session in {}: {e}", path.display()));
        }
    }
}

/// Over the old one, in place, and on the disk.
fn write_session(path: &Path, session: &Session) -> std::io::Result<()> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(ANYTHING)
        .open(path)?;
    file.write_all_at(&session_bytes(session), 0)?;
    file.sync_all()
}

/// What is there may be anything: a pipe would never open, a link may lead elsewhere.
const ANYTHING: i32 = libc::O_NONBLOCK | libc::O_NOFOLLOW;

/// None when there is none.
fn read_session(path: &Path) -> Option<Result<Session, Foreign>> {
    let mut bytes = Vec::new();
    let file = File::options()
        .read(true)
        .custom_flags(ANYTHING)
        .open(path)
        .ok()?;
    file.take(4096).read_to_end(&mut bytes).ok()?;
    Some(parse_session(&bytes))
}
