//! Progress on standard error: one line that changes on a terminal, plain lines elsewhere.
//!
//! [`view`] decides what is said; here is the clock, and the terminal it is said to.

mod view;

use crate::builder::Watch;
use crate::sys::interrupt;
use crate::units::shown;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use view::Phase;

/// Erases the line from the cursor on (ECMA-48 EL).
const ERASE: &str = "\r\x1b[K";
/// Between two states of the line: more often costs time, and nobody reads that fast.
const REDRAW: Duration = Duration::from_millis(100);
/// Where a terminal does not tell its width.
const WIDTH: usize = 80;

/// Shows a build.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    phase: Option<Phase>,
    /// When the line was drawn last.
    drawn: Duration,
}

impl Progress {
    /// As suits what standard error is.
    pub(super) fn on_stderr() -> Progress {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Progress {
            terminal: std::io::stderr().is_terminal() && !dumb,
            start: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// Takes the changing line away. Nothing is shown any more, whoever still reports.
    pub(super) fn finish(&self) {
        let mut state = self.state();
        if state.phase.take().is_some() && self.terminal {
            print(ERASE);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how far the phase is, and shows it when that is due.
    fn note(&self, note: impl FnOnce(&mut Phase, Duration)) {
        let now = self.start.elapsed();
        let mut state = self.state();
        let is_due = now.saturating_sub(state.drawn) >= REDRAW;
        let Some(phase) = &mut state.phase else {
            return;
        };
        note(phase, now);
        match self.terminal {
            true if is_due => self.draw(&mut state, now),
            true => {}
            false => {
                if let Some(line) = phase.log_line(now) {
                    print(&format!("liveroot: {line}\n"));
                }
            }
        }
    }

    fn draw(&self, state: &mut State, now: Duration) {
        state.drawn = now;
        if let Some(phase) = &state.phase {
            print(&format!("{ERASE}{}", phase.line(now, width())));
        }
    }

    /// A line that stays.
    fn say(&self, state: &mut State, text: &str) {
        match self.terminal {
            true => print(&format!("{ERASE}{text}\n")),
            false => print(&format!("liveroot: {text}\n")),
        }
        if self.terminal {
            self.draw(state, self.start.elapsed());
        }
    }
}

/// Columns of the terminal, which may change at any time.
fn width() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => WIDTH,
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
        let now = self.start.elapsed();
        let mut state = self.state();
        let before = state.phase.replace(Phase::new(what, now));
        if let Some(line) = before.and_then(|phase| phase.last_line(now)) {
            self.say(&mut state, &line);
        }
        match self.terminal {
            true => self.draw(&mut state, now),
            false => print(&format!("liveroot: {what}\n")),
        }
    }

    fn percent(&self, percent: u8) {
        self.note(|phase, now| phase.percent(percent, now));
    }

    fn progress(&self, done: u64, total: u64) {
        self.note(|phase, now| phase.bytes(done, total, now));
    }

    fn warn(&self, line: &str) {
        // Names of files are in it.
        let lines: Vec<String> = line.lines().map(shown).collect();
        let text = format!("warning: {}", lines.join("\n"));
        self.say(&mut self.state(), &text);
    }

    fn cancelled(&self) -> bool {
        interrupt::caught().is_some()
    }
}
