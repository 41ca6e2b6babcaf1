//! Keys typed on the consoles, byte by byte.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

/// How long a stuck line may take to get its attributes back.
const BUSY: Duration = Duration::from_secs(2);

/// Consoles that are read key by key.
#[derive(Debug)]
pub struct Keys {
    terminals: Vec<File>,
    stop: std::io::PipeReader,
    /// Closed when the consoles are as they were.
    done: std::io::PipeWriter,
}

/// Ends the reading when it is dropped, and waits until the consoles are as they were.
#[derive(Debug)]
pub struct KeyStop {
    stop: Option<std::io::PipeWriter>,
    done: std::io::PipeReader,
}

/// Opens what can be read of `nodes`; none when nothing can.
pub fn open_keys(nodes: &[PathBuf]) -> Option<(Keys, KeyStop)> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let open = |node: &PathBuf| {
        let terminal = File::options().read(true).custom_flags(flags).open(node);
        terminal.ok().filter(std::io::IsTerminal::is_terminal)
    };
    let terminals: Vec<File> = nodes.iter().filter_map(open).collect();
    let (stop, stopper) = std::io::pipe().ok()?;
    let (waiter, done) = std::io::pipe().ok()?;
    let stopper = KeyStop {
        stop: Some(stopper),
        done: waiter,
    };
    let keys = Keys {
        terminals,
        stop,
        done,
    };
    (!keys.terminals.is_empty()).then_some((keys, stopper))
}

impl Keys {
    /// Calls `heard` with each byte, until the [`KeyStop`] is dropped.
    pub fn read(self, heard: &dyn Fn(u8)) {
        use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
        use std::io::Read;
        let mut before = Vec::new();
        for terminal in &self.terminals {
            if let Ok(old) = tcgetattr(terminal) {
                let mut raw = old.clone();
                raw.local_flags &= !(LocalFlags::ICANON | LocalFlags::ECHO);
                // What was typed before the question does not answer it.
                let _ = tcsetattr(terminal, SetArg::TCSAFLUSH, &raw);
                before.push((terminal, old));
            }
        }
        let mut open: Vec<&File> = self.terminals.iter().collect();
        loop {
            let mut wait = vec![PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
            wait.extend(
                open.iter()
                    .map(|t| PollFd::new(t.as_fd(), PollFlags::POLLIN)),
            );
            if poll(&mut wait, PollTimeout::NONE).is_err_and(|e| e != nix::Error::EINTR)
                || wait[0].any() == Some(true)
            {
                break;
            }
            let mut buffer = [0u8; 16];
            // A terminal that hung up is read no more.
            open.retain(|terminal| match (&mut &**terminal).read(&mut buffer) {
                Ok(0) => false,
                Ok(n) => {
                    buffer[..n].iter().for_each(|key| heard(*key));
                    true
                }
                Err(e) => e.kind() == std::io::ErrorKind::WouldBlock,
            });
        }
        for (terminal, old) in before {
            let _ = tcsetattr(terminal, SetArg::TCSANOW, &old);
        }
        drop(self.done);
    }
}

impl Drop for KeyStop {
    fn drop(&mut self) {
        self.stop = None;
        // Bounded: setting a stuck line's attributes may wait for its output.
        let mut wait = [PollFd::new(self.done.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(BUSY).unwrap_or(PollTimeout::ZERO);
        let _ = poll(&mut wait, limit);
    }
}
