//! Progress on standard error: one line that changes on a terminal, plain lines elsewhere.

use crate::builder::Watch;
use crate::sys::interrupt;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Erases the line from the cursor on (ECMA-48 EL).
const ERASE: &str = "\r\x1b[K";

/// Shows a build.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    phase: String,
    percent: Option<u8>,
}

impl Progress {
    /// As suits what standard error is.
    pub(super) fn on_stderr() -> Progress {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Progress {
            terminal: std::io::stderr().is_terminal() && !dumb,
            state: Mutex::default(),
        }
    }

    /// Takes the changing line away.
    pub(super) fn finish(&self) {
        if self.terminal {
            print(ERASE);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        if self.terminal {
            let state = self.state();
            print(&format!("{ERASE}{text}\n{}", state.phase));
        } else {
            print(&format!("liveroot: {text}\n"));
        }
    }
}

/// A closed standard error is no reason to fail.
fn print(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

impl Watch for Progress {
    fn phase(&self, what: &str) {
        *self.state() = State {
            phase: what.to_owned(),
            percent: None,
        };
        match self.terminal {
            true => print(&format!("{ERASE}{what} …")),
            false => print(&format!("liveroot: {what}\n")),
        }
    }

    fn percent(&self, percent: u8) {
        let mut state = self.state();
        if self.terminal && state.percent != Some(percent) {
            state.percent = Some(percent);
            print(&format!("{ERASE}{} … {percent} %", state.phase));
        }
    }

    fn warn(&self, line: &str) {
        self.line(&format!("warning: {line}"));
    }

    fn cancelled(&self) -> bool {
        interrupt::caught().is_some()
    }
}
