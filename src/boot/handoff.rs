//! Hands the machine over to the new root's init.

use super::machine::Machine;
use super::report::micros;
use crate::plan::init::{is_systemd, systemd_state};
use crate::sys::{Error, console, mount, process};
use std::ffi::{OsStr, OsString};
use std::time::Duration;

/// What PID 1 must know to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handoff {
    /// The init, as a path in the new root.
    pub init: String,
    /// Where its links lead.
    pub resolved: String,
}

impl Handoff {
    /// For the pipe to PID 1.
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{}\0{}\0", self.init, self.resolved).into_bytes()
    }

    /// None unless the message is whole.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut fields = text.split('\0');
        let (init, resolved) = (fields.next()?, fields.next()?);
        let whole = fields.next() == Some("") && fields.next().is_none() && !init.is_empty();
        whole.then(|| Handoff {
            init: init.to_owned(),
            resolved: resolved.to_owned(),
        })
    }
}

/// Moves the kernel's file systems into the new root; an image may lack the directories.
/// /dev is the last: a page about the others' trouble needs its consoles.
pub fn move_mounts(machine: &Machine) -> Result<(), Error> {
    for from in [&machine.proc, &machine.sys, &machine.run, &machine.dev] {
        let name = from.file_name().unwrap_or_default();
        let to = machine.sysroot.join(name);
        std::fs::create_dir_all(&to).map_err(|e| Error::io("creating", to.display(), &e))?;
        mount::move_to(from, &to)?;
    }
    Ok(())
}

/// Enters the new root and executes its init with the arguments that the kernel gave us.
/// Returns the reason if it can't.
pub fn enter(
    machine: &Machine,
    handoff: &Handoff,
    began: (Duration, Duration),
    arguments: &[OsString],
) -> Error {
    if let Err(e) = process::enter_root(&machine.sysroot) {
        return e;
    }
    console::reopen_console(&machine.dev);
    let mut all: Vec<&OsStr> = vec![OsStr::new(&handoff.init)];
    let state = began_state(handoff, began);
    if let Some(descriptor) = &state {
        all.extend(["--switched-root", "--system", "--deserialize"].map(OsStr::new));
        all.push(descriptor);
    }
    all.extend(arguments.iter().map(OsString::as_os_str));
    process::exec(OsStr::new(&handoff.init), &all)
}

/// For systemd: the number of a descriptor that holds the time when the initramfs stage
/// began, so that systemd-analyze(1) shows it.
fn began_state(handoff: &Handoff, (wall, monotonic): (Duration, Duration)) -> Option<OsString> {
    if !is_systemd(&handoff.resolved) {
        return None;
    }
    let text = systemd_state(micros(wall).into(), micros(monotonic).into());
    // Without it systemd starts all the same and shows no initrd stage.
    let fd = process::inherited_memfd("liveroot-initrd-timestamp", &text).ok()?;
    Some(OsString::from(fd.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handoff_survives_the_pipe_and_half_a_one_does_not() {
        let handoff = Handoff {
            init: "/sbin/init".into(),
            resolved: "/lib/systemd/systemd".into(),
        };
        let bytes = handoff.to_bytes();
        assert_eq!(Handoff::from_bytes(&bytes), Some(handoff));
        for n in 0..bytes.len() {
            assert_eq!(Handoff::from_bytes(&bytes[..n]), None, "{n}");
        }
    }
}
