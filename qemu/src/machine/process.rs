//! One QEMU process: started with its serial port on a socket that we hold, ended only by
//! its own id, its CPU seconds taken by wait4(2).

use crate::trouble::{Result, While};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// A child that has not been waited for.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    ended: Option<f64>,
}

impl Process {
    /// Starts `command`, its standard input and output being the other end of the returned
    /// socket. The socket closes when the process ends, however it ends.
    /// It dies with the thread that starts it, lest an interrupted run leave guests behind.
    #[allow(unsafe_code)]
    pub fn start(command: &mut Command, stderr: File) -> Result<(Process, UnixStream)> {
        // SAFETY: between fork and exec only prctl(2) is called, which allocates nothing.
        unsafe {
            command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
        }
        let (ours, theirs) = UnixStream::pair()?;
        let theirs_again = theirs.try_clone()?;
        let child = command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(theirs_again)))
            .stderr(stderr)
            .spawn()
            .doing(format!(
                "starting {}",
                command.get_program().to_string_lossy()
            ))?;
        // The command keeps the descriptors it was given until it is given others.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let pid = Pid::from_raw(child.id().try_into().unwrap_or(i32::MAX));
        Ok((Process { pid, ended: None }, ours))
    }

    /// Sends SIGKILL, if it has not been waited for.
    pub fn kill(&self) {
        if self.ended.is_none() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }

    /// Waits for its end; user and system seconds it used.
    #[allow(unsafe_code)]
    pub fn wait(&mut self) -> f64 {
        if let Some(seconds) = self.ended {
            return seconds;
        }
        let mut status = 0;
        // SAFETY: rusage is plain numbers, for which zeros are valid; both pointers live
        // through the call; the pid is our own child's and not yet reaped, `ended` says so.
        let usage = unsafe {
            let mut usage: nix::libc::rusage = std::mem::zeroed();
            while nix::libc::wait4(self.pid.as_raw(), &raw mut status, 0, &raw mut usage) == -1
                && nix::errno::Errno::last() == nix::errno::Errno::EINTR
            {}
            usage
        };
        let seconds = |time: nix::libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        let used = seconds(usage.ru_utime) + seconds(usage.ru_stime);
        self.ended = Some(used);
        used
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        self.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn its_output_ends_with_it_and_its_cpu_seconds_are_known() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done",
        ]);
        let (mut process, mut line) =
            Process::start(&mut command, File::create("/dev/null").unwrap()).unwrap();
        let mut said = String::new();
        line.read_to_string(&mut said).unwrap();
        assert_eq!(said, "done\n");
        let used = process.wait();
        assert!(used > 0.0 && used < 60.0, "{used}");
    }
}
