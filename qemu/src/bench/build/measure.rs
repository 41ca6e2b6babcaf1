//! What a run of programs takes: wall and CPU seconds, the largest resident set, and when it
//! began each phase that it names.

use crate::fail;
use crate::machine::process::Process;
use crate::tool;
use crate::trouble::{Result, While};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What one run took, or the least of several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken {
    /// Seconds from start to end.
    pub wall: f64,
    /// User and system seconds of all its processes.
    pub cpu: f64,
    /// MB (10^6 bytes) of the largest resident set of any of its processes.
    pub memory: f64,
    /// Bytes of what it made.
    pub bytes: u64,
    /// Seconds behind the payload, where it says when that is done; else 0.
    pub after: f64,
}

impl Taken {
    /// The least of each figure. What a machine does besides only adds.
    pub fn least(self, other: Taken) -> Taken {
        Taken {
            wall: self.wall.min(other.wall),
            cpu: self.cpu.min(other.cpu),
            memory: self.memory.min(other.memory),
            bytes: self.bytes.min(other.bytes),
            after: self.after.min(other.after),
        }
    }
}

/// Runs `command`, which makes `output`; what it says goes to `log`.
pub fn run(command: &mut Command, output: &Path, log: &Path) -> Result<Taken> {
    remove(output)?;
    let shown = tool::show(command);
    let said = File::create(log).doing(format!("making {}", log.display()))?;
    // Both streams into one pipe, so that phases are seen when they are said.
    let start = Instant::now();
    let (mut process, socket) = Process::start_joined(command)?;
    let mut phases = Phases::default();
    let mut said = std::io::BufWriter::new(said);
    for line in BufReader::new(socket).split(b'\n') {
        let line = line.doing(format!("listening to {shown}"))?;
        phases.hear(
            &String::from_utf8_lossy(&line),
            start.elapsed().as_secs_f64(),
        );
        std::io::Write::write_all(&mut said, &[&line, &b"\n"[..]].concat())?;
    }
    let usage = process.wait_usage();
    let wall = start.elapsed().as_secs_f64();
    std::io::Write::flush(&mut said)?;
    if !usage.success {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        fail!("{shown} failed:\n{}", tool::tail(&said, 20));
    }
    let bytes = std::fs::metadata(output)
        .doing(format!("{shown} made no {}", output.display()))?
        .len();
    Ok(Taken {
        wall,
        cpu: usage.cpu,
        memory: usage.memory as f64 / 1e6,
        bytes,
        after: phases.after(wall),
    })
}

/// Takes a file away that may not be there.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            fail!("removing {}: {e}", path.display())
        }
        _ => Ok(()),
    }
}

/// When `liveroot` began what is behind the payload, by its lines on standard error.
#[derive(Debug, Default)]
struct Phases {
    is_in_payload: bool,
    payload_end: Option<f64>,
}

impl Phases {
    /// A line, and when it came. Warnings, and how far the payload is, end nothing.
    fn hear(&mut self, line: &str, at: f64) {
        let Some(text) = line.strip_prefix("liveroot: ") else {
            return;
        };
        if text.starts_with("payload") {
            self.is_in_payload = true;
        } else if self.is_in_payload && !text.starts_with("warning") {
            self.is_in_payload = false;
            self.payload_end = Some(at);
        }
    }

    fn after(&self, end: f64) -> f64 {
        self.payload_end
            .map_or(0.0, |payload_end| end - payload_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_payload_counts_from_the_next_phase_on() {
        let mut phases = Phases::default();
        for (line, at) in [
            ("liveroot: initramfs", 1.0),
            ("liveroot: payload", 2.0),
            ("liveroot: payload 40 %", 3.0),
            ("liveroot: warning: odd", 4.0),
            ("liveroot: image id", 5.0),
            ("liveroot: ISO", 6.0),
        ] {
            phases.hear(line, at);
        }
        assert_eq!(phases.after(8.0), 3.0);
        assert_eq!(Phases::default().after(8.0), 0.0);
    }

    #[test]
    fn a_run_is_measured_with_all_its_processes() {
        let dir = std::env::temp_dir().join(format!("liveroot-measure-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let output = dir.join("output");
        let mut command = Command::new("sh");
        let script = "dd if=/dev/zero of=\"$0\" bs=32M count=1; echo >&2 liveroot: payload; sh -c 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done'; echo liveroot: storing; sleep 0.1";
        command.arg("-c").arg(script).arg(&output);
        let taken = run(&mut command, &output, &dir.join("log")).unwrap();
        assert_eq!(taken.bytes, 32 << 20);
        // dd's block, which is not the shell's.
        assert!(taken.memory > 32.0 && taken.memory < 100.0, "{taken:?}");
        assert!(taken.cpu > 0.01 && taken.after >= 0.1, "{taken:?}");
        assert!(taken.after < taken.wall, "{taken:?}");
        let failed = run(Command::new("false").arg("x"), &output, &dir.join("log"));
        assert!(failed.is_err() && !output.exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
