//! One QEMU process: started with its serial port on a socket that we hold, ended only by
//! its own id, what it used taken by wait4(2). Programs that benches measure run the same way.

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
    ended: Option<Usage>,
}

/// What a process and the children that it waited for used (getrusage(2)).
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Whether it ended with status 0.
    pub success: bool,
    /// User and system seconds.
    pub cpu: f64,
    /// Bytes of the largest resident set of any of them.
    pub memory: u64,
}

impl Process {
    /// Starts `command`, its standard input and output being the other end of the returned
    /// socket. The socket closes when the process ends, however it ends.
    /// It dies with the thread that starts it, lest an interrupted run leave guests behind.
    pub fn start(command: &mut Command, stderr: File) -> Result<(Process, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = OwnedFd::from(theirs);
        let process = Process::spawn(command, theirs.try_clone()?.into(), theirs, stderr.into())?;
        Ok((process, ours))
    }

    /// Starts `command` with nothing to read, and both its outputs going to the returned socket.
    pub fn start_joined(command: &mut Command) -> Result<(Process, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = OwnedFd::from(theirs);
        let again = theirs.try_clone()?;
        let process = Process::spawn(command, Stdio::null(), theirs, again.into())?;
        Ok((process, ours))
    }

    #[allow(unsafe_code)]
    fn spawn(
        command: &mut Command,
        stdin: Stdio,
        stdout: OwnedFd,
        stderr: Stdio,
    ) -> Result<Process> {
        // SAFETY: between fork and exec only prctl(2) is called, which allocates nothing.
        unsafe {
            command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
        }
        let child = command
            .stdin(stdin)
            .stdout(Stdio::from(stdout))
            .stderr(stderr)
            .spawn()
            .doing(format!(
                "starting {}",
                command.get_program().to_string_lossy()
            ))?;
        // The command keeps the descriptors it was given until it is given others.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let pid = Pid::from_raw(child.id().try_into().unwrap_or(i32::MAX));
        Ok(Process { pid, ended: None })
    }

    /// Sends SIGKILL, if it has not been waited for.
    pub fn kill(&self) {
        if self.ended.is_none() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }

    /// Waits for its end; user and system seconds it used.
    pub fn wait(&mut self) -> f64 {
        self.wait_usage().cpu
    }

    /// Waits for its end, and says what it used.
    #[allow(unsafe_code)]
    pub fn wait_usage(&mut self) -> Usage {
        if let Some(usage) = self.ended {
            return usage;
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
        let used = Usage {
            success: status == 0,
            cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
            // In KiB on Linux.
            memory: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        };
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
