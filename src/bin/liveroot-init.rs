//! The agent in the initramfs. Which face it shows is decided by `plan::face`.
//!
//! `main` is C's: Rust's own aborts when file descriptors 0 to 2 are closed and there is
//! no /dev/null, which is how the kernel starts PID 1 when no console driver answers.
#![no_main]

use liveroot::plan::face::{Face, decide_face};
use liveroot::{boot, layout, sys};
use std::ffi::{c_char, c_int};

/// Lets `liveroot build` refuse an agent of another version.
#[used]
static MARK: &str = layout::AGENT_MARK;

const HELP: &str = "\
liveroot-init: the part of liveroot that runs in an initramfs, as /init.

It finds the boot medium, mounts its image, stacks a writable overlay on it and starts the
image's own init. `liveroot build` puts it into an image. The kernel words it reads:
liveroot.cmdline(7). In the live system it is /run/initramfs/shutdown and, where the image
has none, liveroot; see liveroot-init(8).

  dracut [DEVICE|FILE]
                 mounts the live root at /sysroot, in an initramfs of dracut; reads the
                 kernel's words from standard input. DEVICE or FILE stands above root=;
                 --since=SECONDS: when dracut began to wait, for rd.retry
  claim          says whether the words on standard input name a live root
  generator NORMAL EARLY LATE
                 writes systemd's units for it, see systemd.generator(7)
  shutdown [poweroff|reboot|halt|kexec]
                 takes the live system apart, and ends the machine
  watch          warns users when what takes the changes fills
  status, sessions
                 as liveroot(1)
  -h, --help     this text
  -V, --version  the version
";

// The one name that the C runtime calls; nothing else in the program exports it.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _words: *const *const c_char) -> c_int {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let arguments: Vec<std::ffi::OsString> = arguments.collect();
    let texts: Vec<String> = arguments
        .iter()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let first = sys::process::is_first();
    let (face, rest) = decide_face(first, &program.to_string_lossy(), &texts);
    match face {
        Face::Init => boot::run_as_init(&arguments),
        Face::Dracut => boot::dracut::run(rest),
        Face::Claim => say(&boot::generator::claim(), 0),
        Face::Generator => boot::generator::run(rest),
        Face::Shutdown => boot::end::run(rest),
        Face::Watch => boot::watch::run(rest),
        Face::Command => {
            let (text, status) = boot::sessions::run(rest);
            match status {
                0 => say(&text, 0),
                _ => complain(&text, status),
            }
        }
        Face::Help => say(HELP, 0),
        Face::Version => say(&format!("liveroot-init {}\n", layout::VERSION), 0),
        Face::Misuse => {
            let text = "liveroot-init: not process 1, nothing to do; see liveroot-init --help
";
            complain(text, 2)
        }
    }
}

fn complain(text: &str, status: c_int) -> c_int {
    use std::io::Write;
    let _ = std::io::stderr().write_all(text.as_bytes());
    status
}

fn say(text: &str, status: c_int) -> c_int {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => status,
        Err(_) => 1,
    }
}
