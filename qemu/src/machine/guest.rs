//! A machine that runs: its serial line, its monitor, its end, and what is kept of it.

use super::drive::Drive;
use super::process::Process;
use super::qmp::Qmp;
use crate::fail;
use crate::tool;
use crate::trouble::{Result, Trouble, While};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Words on the serial line after which nothing more will come.
const HOPELESS: [&str; 4] = [
    "Shell> ",
    "No bootable option or device",
    "Kernel panic - not syncing",
    "end Kernel panic",
];

/// QEMU starts within this, or its options are wrong.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A running machine. Dropping it ends it.
#[derive(Debug)]
pub struct Guest {
    process: Process,
    serial: UnixStream,
    heard: Vec<u8>,
    /// Up to where the markers waited for have been found.
    seen: usize,
    ended: bool,
    log: File,
    /// The monitor.
    pub qmp: Qmp,
    /// The drives, to plug and pull.
    pub drives: Vec<Drive>,
    dir: PathBuf,
}

impl Guest {
    pub(super) fn start(arguments: Vec<OsString>, drives: &[Drive], dir: &Path) -> Result<Guest> {
        // Not in `dir`: a socket's name has at most 107 bytes.
        let socket = socket_path();
        let listener =
            UnixListener::bind(&socket).doing(format!("binding {}", socket.display()))?;
        let mut command = Command::new("qemu-system-x86_64");
        command.args(&arguments);
        command.args([
            "-chardev",
            "stdio,id=serial,signal=off",
            "-serial",
            "chardev:serial",
            "-monitor",
            "none",
        ]);
        command
            .arg("-qmp")
            .arg(format!("unix:{},server=off", socket.display()));
        fs::write(dir.join("qemu-command.txt"), tool::show(&command) + "\n")?;
        let started = Process::start(&mut command, File::create(dir.join("qemu-stderr.log"))?);
        let greeted = started.and_then(|(process, serial)| {
            let qmp = accept(&listener, &serial).map_err(|trouble| with_stderr(trouble, dir))?;
            Ok((process, serial, Qmp::greet(qmp)?))
        });
        let _ = fs::remove_file(&socket);
        let (process, serial, qmp) = greeted?;
        Ok(Guest {
            process,
            serial,
            heard: Vec::new(),
            seen: 0,
            ended: false,
            log: File::create(dir.join("serial.log"))?,
            qmp,
            drives: drives.to_vec(),
            dir: dir.to_owned(),
        })
    }

    /// Waits until the serial line has said `marker` since the last one waited for.
    pub fn wait_for(&mut self, marker: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        // What has been looked through is not looked through again, but for a marker's length.
        let longest = HOPELESS
            .iter()
            .map(|word| word.len())
            .max()
            .unwrap_or(0)
            .max(marker.len());
        let mut from = self.seen;
        loop {
            if let Some(at) = find(&self.heard[from..], marker.as_bytes()) {
                self.seen = from + at + marker.len();
                return Ok(());
            }
            if let Some(word) = HOPELESS
                .iter()
                .find(|word| find(&self.heard[from..], word.as_bytes()).is_some())
            {
                fail!("waiting for {marker:?}, the serial line said {word:?}");
            }
            from = self.heard.len().saturating_sub(longest).max(self.seen);
            match self.listen(deadline)? {
                Heard::Something => {}
                Heard::Nothing => fail!("{marker:?} did not come within {} s", within.as_secs()),
                Heard::End => fail!("the machine ended before it said {marker:?}"),
            }
        }
    }

    /// Waits for the end of the machine; CPU seconds that QEMU used.
    pub fn wait_end(&mut self, within: Duration) -> Result<f64> {
        let deadline = Instant::now() + within;
        loop {
            match self.listen(deadline)? {
                Heard::Something => {}
                Heard::Nothing => fail!(
                    "the machine did not power off within {} s",
                    within.as_secs()
                ),
                Heard::End => return Ok(self.process.wait()),
            }
        }
    }

    /// Takes in what the serial line says, for that long.
    pub fn listen_for(&mut self, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            if let Heard::End = self.listen(deadline)? {
                fail!("the machine ended in a pause");
            }
        }
        Ok(())
    }

    /// Ends it as a power cut would, but for what the host's page cache keeps; CPU seconds
    /// that QEMU used.
    pub fn kill(&mut self) -> f64 {
        self.process.kill();
        self.process.wait()
    }

    /// Asks QEMU to end, with its files written back.
    pub fn quit(&mut self) -> Result<()> {
        self.qmp.execute("quit", json!({})).map(drop)
    }

    /// Types on the serial line.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.serial
            .write_all(text.as_bytes())
            .doing(format!("typing {text:?}"))
    }

    /// All that the serial line has said.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard).replace('\r', "")
    }

    /// The drive of a name.
    pub fn drive(&self, id: &str) -> Result<Drive> {
        let found = self.drives.iter().find(|drive| drive.id == id);
        found
            .cloned()
            .ok_or_else(|| Trouble(format!("the machine has no drive {id:?}")))
    }

    /// Keeps what the machine looks like, and ends it. For failures: nothing here may fail.
    pub fn abandon(mut self) -> f64 {
        if !self.ended {
            let file = self.dir.join("screen.png");
            let shot = json!({"filename": file.to_string_lossy(), "format": "png"});
            // There may be no screen.
            let _ = self.qmp.execute("screendump", shot);
            if let Ok(block) = self.qmp.execute("query-block", json!({})) {
                let _ = fs::write(self.dir.join("query-block.json"), format!("{block:#}\n"));
            }
        }
        self.process.kill();
        self.process.wait()
    }

    /// Takes in what the serial line says, waiting for it until the deadline.
    fn listen(&mut self, deadline: Instant) -> Result<Heard> {
        if self.ended {
            return Ok(Heard::End);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(
            &mut [PollFd::new(self.serial.as_fd(), PollFlags::POLLIN)],
            timeout,
        )? == 0
        {
            return Ok(Heard::Nothing);
        }
        let mut buffer = [0; 4096];
        match self.serial.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => self.ended = true,
            Err(error) => return Err(error).doing("reading the serial line"),
            Ok(count) => {
                self.heard.extend_from_slice(&buffer[..count]);
                self.log.write_all(&buffer[..count])?;
            }
        }
        Ok(if self.ended {
            Heard::End
        } else {
            Heard::Something
        })
    }
}

enum Heard {
    Something,
    Nothing,
    End,
}

/// Where QEMU is to find our end of the monitor.
fn socket_path() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("liveroot-qmp-{}-{number}", std::process::id()))
}

/// QEMU's connection, or its end.
fn accept(listener: &UnixListener, serial: &UnixStream) -> Result<UnixStream> {
    let mut waited = [
        PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        PollFd::new(serial.as_fd(), PollFlags::empty()),
    ];
    let timeout = PollTimeout::try_from(START_WITHIN).unwrap_or(PollTimeout::MAX);
    if poll(&mut waited, timeout)? == 0 {
        fail!("QEMU did not start within {} s", START_WITHIN.as_secs());
    }
    if waited[0].any() != Some(true) {
        fail!("QEMU ended at once");
    }
    Ok(listener.accept()?.0)
}

fn with_stderr(trouble: Trouble, dir: &Path) -> Trouble {
    let said = fs::read_to_string(dir.join("qemu-stderr.log")).unwrap_or_default();
    Trouble(format!("{trouble}\n{}", tool::tail(&said, 10)))
}

/// Where `needle` begins in `hay`.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len())
        .position(|window| window == needle)
}
