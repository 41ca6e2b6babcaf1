//! Keys typed on the consoles, byte by byte.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{FlushArg, LocalFlags, SetArg, Termios, tcflush, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a stuck line may take to get its attributes back.
const BUSY: Duration = Duration::from_secs(2);

/// Consoles that are read key by key; dropped, they are as they were.
#[derive(Debug)]
pub struct Keys {
    terminals: Vec<(File, Option<Termios>)>,
    stop: std::io::PipeReader,
    /// Closed when the consoles are as they were.
    _done: std::io::PipeWriter,
}

/// Ends the reading when it is dropped, and waits until the consoles are as they were.
#[derive(Debug)]
pub struct KeyStop {
    stop: Option<std::io::PipeWriter>,
    done: std::io::PipeReader,
}

/// Opens what can be read of `nodes`; none when nothing can. What was typed before is
/// forgotten: it answers no question that is asked now.
pub fn open_keys(nodes: &[PathBuf]) -> Option<(Keys, KeyStop)> {
    let (stop, stopper) = std::io::pipe().ok()?;
    let (waiter, done) = std::io::pipe().ok()?;
    let stopper = KeyStop {
        stop: Some(stopper),
        done: waiter,
    };
    let keys = Keys {
        terminals: nodes.iter().filter_map(|node| open_raw(node)).collect(),
        stop,
        _done: done,
    };
    (!keys.terminals.is_empty()).then_some((keys, stopper))
}

/// A terminal that gives keys as they are typed, and its attributes before.
fn open_raw(node: &Path) -> Option<(File, Option<Termios>)> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let terminal = File::options().read(true).custom_flags(flags).open(node);
    let terminal = terminal.ok().filter(std::io::IsTerminal::is_terminal)?;
    let before = tcgetattr(&terminal).ok();
    if let Some(before) = &before {
        let mut raw = before.clone();
        raw.local_flags &= !(LocalFlags::ICANON | LocalFlags::ECHO);
        // Not TCSAFLUSH: that waits for the output of a line that may be stuck.
        let _ = tcflush(&terminal, FlushArg::TCIFLUSH);
        let _ = tcsetattr(&terminal, SetArg::TCSANOW, &raw);
    }
    Some((terminal, before))
}

impl Keys {
    /// Calls `heard` with each byte, until the [`KeyStop`] is dropped.
    pub fn read(self, heard: &dyn Fn(u8)) {
        let mut open: Vec<&File> = self.terminals.iter().map(|(t, _)| t).collect();
        loop {
            let mut wait = vec![PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
            wait.extend(
                open.iter()
                    .map(|t| PollFd::new(t.as_fd(), PollFlags::POLLIN)),
            );
            if poll(&mut wait, PollTimeout::NONE).is_err_and(|e| e != nix::Error::EINTR)
                || wait[0].any() == Some(true)
            {
                return;
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
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        for (terminal, before) in &self.terminals {
            if let Some(before) = before {
                let _ = tcsetattr(terminal, SetArg::TCSANOW, before);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::mpsc::channel;

    #[test]
    fn a_key_typed_before_the_question_does_not_answer_it() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let slave = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&pty.slave)
        );
        let node = std::fs::read_link(slave).unwrap();
        let before = tcgetattr(&pty.slave).unwrap();
        let mut master = File::from(pty.master);
        master.write_all(b"\r").unwrap();
        let (keys, stop) = open_keys(&[node]).unwrap();
        let (sender, receiver) = channel();
        let reading = std::thread::spawn(move || keys.read(&|key| sender.send(key).unwrap()));
        master.write_all(b"k").unwrap();
        assert_eq!(receiver.recv_timeout(BUSY), Ok(b'k'));
        drop(stop);
        reading.join().unwrap();
        let after = tcgetattr(&pty.slave).unwrap();
        assert_eq!(after.local_flags, before.local_flags);
    }

    #[test]
    fn without_a_terminal_nobody_is_asked() {
        assert!(open_keys(&["/dev/null".into(), "/does/not/exist".into()]).is_none());
    }
}
