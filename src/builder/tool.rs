//! mksquashfs, for who asks for a second opinion on our own writer: the only place of the
//! builder that starts a process. It runs with an environment of its own, so that no locale,
//! time zone or clock of the host reaches the output.

use super::{Error, Result, Watch};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// A program and the packages that have it.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    name: &'static str,
    debian: &'static str,
    fedora: &'static str,
}

/// Writes the payload, with `--squashfs-tool mksquashfs`.
pub const MKSQUASHFS: Tool = Tool::new("mksquashfs", "squashfs-tools", "squashfs-tools");

/// How long a signal may go unnoticed while a tool runs.
const LOOK_FOR_SIGNALS: Duration = Duration::from_millis(50);

/// Where administrators' programs are when PATH, as a user's on Debian, does not name it.
const MORE_PATH: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

impl Tool {
    const fn new(name: &'static str, debian: &'static str, fedora: &'static str) -> Self {
        Tool {
            name,
            debian,
            fedora,
        }
    }

    /// Where it is installed.
    pub fn find(&self) -> Result<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(MORE_PATH.iter().map(PathBuf::from))
            .map(|dir| dir.join(self.name))
            .find(|file| {
                rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
            })
            .ok_or(Error::MissingTool {
                name: self.name,
                debian: self.debian,
                fedora: self.fedora,
            })
    }
}

/// How the tools of one build are run.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// Seconds since 1970 that stand for "now" in all output.
    pub epoch: u64,
    /// Where temporary files go.
    pub scratch: &'a Path,
    /// Progress and cancellation.
    pub watch: &'a dyn Watch,
}

impl std::fmt::Debug for Tools<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tools(epoch {})", self.epoch)
    }
}

impl Tools<'_> {
    /// Runs a tool to its end and gives what it printed on standard output. Its process
    /// ends with a cancelled build.
    pub fn run(&self, tool: Tool, doing: &str, args: &[OsString]) -> Result<String> {
        let mut child = self
            .command(tool.find()?, args)
            .spawn()
            .map_err(Error::system("starting", Path::new(tool.name)))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let log = Mutex::new(Log::default());
        // Each reader holds a sender and lets it go at the end of its stream.
        let (reading, read_out) = std::sync::mpsc::channel::<()>();
        let waited = std::thread::scope(|scope| {
            let (log, also_reading) = (&log, reading.clone());
            scope.spawn(move || {
                self.read(stdout, true, log);
                drop(reading);
            });
            scope.spawn(move || {
                self.read(stderr, false, log);
                drop(also_reading);
            });
            // The streams end with the process; until then each turn looks for a signal.
            while let Err(RecvTimeoutError::Timeout) = read_out.recv_timeout(LOOK_FOR_SIGNALS) {
                if self.watch.cancelled() {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(Error::Interrupted);
                }
            }
            child
                .wait()
                .map_err(Error::system("waiting for", Path::new(tool.name)))
        })?;
        let log = log
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if waited.success() {
            return Ok(log.stdout);
        }
        if self.watch.cancelled() {
            return Err(Error::Interrupted);
        }
        if log
            .tail
            .iter()
            .any(|line| line.contains("No space left on device"))
        {
            return Err(Error::no_space(self.scratch, None));
        }
        Err(Error::Tool {
            name: tool.name,
            doing: doing.to_owned(),
            status: waited.to_string(),
            tail: log
                .tail
                .iter()
                .map(|l| format!("  | {l}"))
                .collect::<Vec<_>>()
                .join("\n"),
        })
    }

    fn command(&self, program: PathBuf, args: &[OsString]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("TMPDIR", self.scratch)
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Reads one stream to its end: whole lines into the log, percentages to the watch.
    fn read(&self, stream: Option<impl Read>, is_stdout: bool, log: &Mutex<Log>) {
        let Some(mut stream) = stream else { return };
        let mut line = Vec::new();
        let mut buf = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buf) {
            for byte in &buf[..n] {
                if *byte == b'\n' || *byte == b'\r' {
                    self.take_line(&mut line, is_stdout, log);
                } else {
                    line.push(*byte);
                }
            }
        }
        self.take_line(&mut line, is_stdout, log);
    }

    fn take_line(&self, line: &mut Vec<u8>, is_stdout: bool, log: &Mutex<Log>) {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        line.clear();
        if text.is_empty() {
            return;
        }
        if let Some(percent) = percent_in(&text) {
            self.watch.percent(percent);
            return;
        }
        let mut log = log
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        log.add(text, is_stdout);
    }
}

/// What a tool said.
#[derive(Debug, Default)]
struct Log {
    stdout: String,
    tail: Vec<String>,
}

impl Log {
    const TAIL: usize = 12;

    fn add(&mut self, line: String, is_stdout: bool) {
        if is_stdout {
            self.stdout.push_str(&line);
            self.stdout.push('\n');
        }
        if self.tail.len() == Self::TAIL {
            self.tail.remove(0);
        }
        self.tail.push(line);
    }
}

/// The percentage that a progress line of mksquashfs (`[==- ] 12/99  12%`) shows.
fn percent_in(line: &str) -> Option<u8> {
    let number = line
        .split_whitespace()
        .find_map(|word| word.strip_suffix('%'))?;
    let shows_progress = line.starts_with('[');
    let value: f32 = number.parse().ok()?;
    (shows_progress && (0.0..=100.0).contains(&value)).then_some(value as u8)
}

/// An argument list from unlike strings.
pub fn args<const N: usize>(words: [&dyn AsRef<OsStr>; N]) -> Vec<OsString> {
    words
        .iter()
        .map(|word| (*word).as_ref().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_line_is_understood_and_no_other() {
        assert_eq!(percent_in("[=====|      ] 1024/4096  25%"), Some(25));
        assert_eq!(
            percent_in("Filesystem size 1 Kbytes, 38.16% of uncompressed"),
            None
        );
    }

    #[test]
    fn a_missing_tool_is_named_with_its_packages() {
        let tool = Tool::new("liveroot-no-such-tool", "some-deb", "some-rpm");
        let text = tool.find().unwrap_err().to_string();
        assert!(text.contains("liveroot-no-such-tool"), "{text}");
        assert!(
            text.contains("apt install some-deb") && text.contains("dnf install some-rpm"),
            "{text}"
        );
    }
}
