//! What people see of long work: a line that is redrawn on terminals, a line every few seconds
//! elsewhere. As pages are, it is shown whatever `quiet` says: who waits wants to know why.

use super::machine::Machine;
use super::plymouth::Splash;
use crate::plan::progress::Progress;
use crate::sys::console;
use std::path::PathBuf;
use std::time::Duration;

/// Work that is over sooner is not shown.
const SOON: Duration = Duration::from_secs(1);

/// Between two drawings of the line: a serial line of 9,600 baud draws one in a tenth of it.
const REDRAW: Duration = Duration::from_secs(1);

/// Between two lines where nothing can be drawn over.
const LINES: Duration = Duration::from_secs(5);

/// The line, on each console.
#[derive(Debug)]
pub struct ProgressLine {
    terminals: Vec<PathBuf>,
    others: Vec<PathBuf>,
    /// The splash that hides them.
    splash: Option<Splash>,
    draw_at: Duration,
    line_at: Duration,
    /// Characters of the line that is drawn.
    drawn: usize,
}

impl ProgressLine {
    /// For the consoles that there are now.
    pub fn new(machine: &Machine) -> Self {
        let nodes = console::active(&machine.sys, &machine.dev);
        let (terminals, others) = nodes.into_iter().partition(|n| console::is_terminal(n));
        ProgressLine {
            terminals,
            others,
            splash: Splash::find(machine),
            draw_at: SOON,
            line_at: SOON,
            drawn: 0,
        }
    }

    /// Shows how far it is, when it is time for that.
    pub fn show(&mut self, progress: &Progress<'_>) {
        let line = progress.line();
        if progress.took >= self.draw_at {
            self.draw_at = progress.took + REDRAW;
            let text = format!("\r {line:width$}", width = self.drawn);
            self.drawn = line.len();
            write(&self.terminals, &text);
            if let Some(splash) = &self.splash {
                splash.show(&line);
            }
        }
        if progress.took >= self.line_at {
            self.line_at = progress.took + LINES;
            write(&self.others, &format!(" {line}\n"));
        }
    }

    /// What follows begins below the line, as it was drawn last.
    pub fn over(&self) {
        if self.drawn > 0 {
            write(&self.terminals, "\n");
        }
    }

    /// The last line stands; what follows begins below it.
    pub fn end(self, progress: &Progress<'_>) {
        if self.drawn > 0 {
            let line = progress.line();
            let text = format!("\r {line:width$}\n", width = self.drawn);
            write(&self.terminals, &text);
        }
    }
}

fn write(nodes: &[PathBuf], text: &str) {
    if !nodes.is_empty() {
        console::write_to(nodes, text);
    }
}
