//! Warns those who are logged in when what takes the writes fills.
//!
//! Resident: it keeps no list and no text from one look to the next. Who is logged in is
//! whoever has a terminal: utmp(5) is not written everywhere.

use super::leave::start_watch_in;
use super::machine::Machine;
use super::processes;
use super::status::{read_left, room};
use crate::layout::{Left, LeftMount};
use crate::plan::fill::{Step, Told, decide_next_look, warning};
use crate::plan::process::{Terminal, terminal};
use crate::sys::{console, kmsg, process};
use crate::units::shown;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A stage of dracut's that takes longer between two mounts has stopped in a shell.
const ENTERED: Duration = Duration::from_secs(3600);

/// The face. `--once` is for tests.
///
/// `--enter ROOT`, for dracut's last hook: starts it there, once /run has come.
pub fn run(words: &[String]) -> i32 {
    let machine = Machine::running();
    kmsg::KmsgLog::open(&machine.dev).install();
    if let [enter, root] = words
        && enter == "--enter"
    {
        return match start_watch_in(Path::new(root), ENTERED) {
            Ok(()) => 0,
            Err(e) => {
                log::warn!("{e}");
                1
            }
        };
    }
    let Some(left) = read_left(&machine) else {
        return 1;
    };
    let once = words.iter().any(|w| w == "--once");
    let mut told = Told::default();
    loop {
        let next = look(&machine, &left, &mut told);
        if once || next.is_none_or(process::wait_for_end) {
            return 0;
        }
    }
}

/// One look; how long until the next one, none when there is nothing to be watched.
pub fn look(machine: &Machine, left: &Left, told: &mut Told) -> Option<std::time::Duration> {
    let upper = left.upper.as_ref()?;
    let Some(room) = room(machine, upper) else {
        let LeftMount { device, at, .. } = upper;
        log::warn!("{device} is not mounted at {at} any more: its fill is not watched");
        return None;
    };
    let notice = machine.run.join("motd.d/liveroot-full");
    match told.step(room.fill().1) {
        Step::Warn => {
            let text = shown(&warning(&room, &upper.device, is_memory(upper)));
            log::warn!("{text}");
            tell_terminals(machine, &text);
            // Without it the next login is told nothing; the log has it.
            let _ = std::fs::create_dir_all(machine.run.join("motd.d"));
            let _ = std::fs::write(&notice, format!("{text}\n"));
        }
        Step::Relieve => {
            log::info!("{} has room again", upper.device);
            let _ = std::fs::remove_file(&notice);
        }
        Step::Nothing => {}
    }
    Some(decide_next_look(&room, *told, is_memory(upper)))
}

/// Whether what is written is gone after the end.
pub fn is_memory(upper: &LeftMount) -> bool {
    !upper.device.starts_with('/')
}

fn tell_terminals(machine: &Machine, text: &str) {
    let mut numbers: Vec<u32> = Vec::new();
    for process in processes::gather(machine) {
        if !numbers.contains(&process.stat.tty) {
            numbers.push(process.stat.tty);
        }
    }
    let line = format!("\r\n\u{7}liveroot: {text}\r\n");
    for node in numbers
        .into_iter()
        .filter_map(|tty| node(machine, terminal(tty)?))
    {
        console::write_in_passing(&node, &line);
    }
}

fn node(machine: &Machine, terminal: Terminal) -> Option<PathBuf> {
    match terminal {
        Terminal::Pts(number) => Some(machine.dev.join("pts").join(number.to_string())),
        Terminal::Device(major, minor) => {
            let uevent = machine.sys.join(format!("dev/char/{major}:{minor}/uevent"));
            let text = std::fs::read_to_string(uevent).ok()?;
            let name = text.lines().find_map(|l| l.strip_prefix("DEVNAME="))?;
            Some(machine.dev.join(Path::new(name)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_its_node() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::below(dir.path().into());
        let tty = machine.sys.join("dev/char/4:64");
        std::fs::create_dir_all(&tty).unwrap();
        std::fs::write(tty.join("uevent"), "MAJOR=4\nMINOR=64\nDEVNAME=ttyS0\n").unwrap();
        let found = node(&machine, Terminal::Device(4, 64));
        assert_eq!(found, Some(machine.dev.join("ttyS0")));
        assert_eq!(node(&machine, Terminal::Device(4, 65)), None);
        let found = node(&machine, Terminal::Pts(3));
        assert_eq!(found, Some(machine.dev.join("pts/3")));
    }

    #[test]
    fn without_an_upper_there_is_nothing_to_watch() {
        let machine = Machine::below("/nowhere".into());
        assert_eq!(look(&machine, &Left::default(), &mut Told::default()), None);
    }
}
