//! The splash of dracut's initramfs: it covers the consoles, so what is shown and asked there is
//! shown and asked on it too. plymouth(1); all that it is asked has a limit, and a boot without
//! it, or with one that hangs, goes on.

use super::machine::Machine;
use crate::sys::borrow::{Borrowed, Done, run};
use crate::sys::process;
use std::io::PipeWriter;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where dracut installs it.
const PROGRAM: &str = "usr/bin/plymouth";

/// Of all but questions; the program only writes to a socket.
const LIMIT: Duration = Duration::from_secs(2);

/// A splash that answers.
#[derive(Clone, Debug)]
pub struct Splash(PathBuf);

impl Splash {
    /// None where there is none: one look at a file in our own initramfs.
    pub fn find(machine: &Machine) -> Option<Self> {
        let splash = Splash(machine.root.join(PROGRAM));
        if !splash.0.exists() {
            return None;
        }
        splash.call(&["--ping"], LIMIT).map(|_| splash)
    }

    /// Shows a text until the next one.
    pub fn show(&self, text: &str) {
        let text = tidy(text);
        if !text.is_empty() {
            self.call(&["display-message", &format!("--text={text}")], LIMIT);
        }
    }

    /// Calls `heard` with the key that answers: one of `keys`, or Enter when there are none, which
    /// plymouth does not count as a key. In a thread of its own, for at most `limit`, and while
    /// what is returned lives: then the question is taken off. None when it can't be asked.
    pub fn ask(
        &self,
        text: &str,
        keys: &[u8],
        limit: Duration,
        heard: Box<dyn Fn(u8) + Send>,
    ) -> Option<Asking> {
        let splash = self.clone();
        let text = tidy(text);
        let any = keys.is_empty();
        let words = if any {
            ["ask-question".to_owned(), format!("--prompt={text}")]
        } else {
            self.show(&text);
            let keys = String::from_utf8_lossy(keys).into_owned();
            let both = format!("--keys={keys}{}", keys.to_ascii_uppercase());
            ["watch-keystroke".to_owned(), both]
        };
        let (stop, held) = std::io::pipe().ok()?;
        // Without the thread the consoles are asked still.
        let asking = process::start_thread(Box::new(move || {
            let said = splash.run(&[&words[0], &words[1]], limit, Some(stop.as_fd()));
            if !any {
                // The splash keeps both when the program has gone.
                splash.call(&["ignore-keystroke", &words[1]], LIMIT);
                splash.call(&["hide-message", &format!("--text={text}")], LIMIT);
            }
            let Some(said) = said else {
                return;
            };
            match said.bytes().next() {
                Some(key) => heard(key),
                None if any => heard(b'\r'),
                None => {}
            }
        }));
        asking.ok().map(|()| Asking(held))
    }

    fn call(&self, words: &[&str], limit: Duration) -> Option<String> {
        self.run(words, limit, None)
    }

    /// What it said, when it ended well.
    fn run(&self, words: &[&str], limit: Duration, stop: Option<BorrowedFd<'_>>) -> Option<String> {
        let program = self.0.to_str()?;
        let words: Vec<&str> = std::iter::once(program)
            .chain(words.iter().copied())
            .collect();
        let done = run(&Borrowed {
            root: Path::new("/"),
            binds: &[],
            words: &words,
            limit,
            stop,
            when_slow: &|| {},
        });
        match done {
            Ok(Done {
                status: Some(status),
                said,
            }) if status.success() => Some(said),
            _ => None,
        }
    }
}

/// A question on the splash; dropped, its program is ended.
#[derive(Debug)]
pub struct Asking(#[allow(dead_code)] PipeWriter);

/// Without the rules and blank lines that give a page its place on a console.
fn tidy(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|l| !l.is_empty() && !l.bytes().all(|b| b == b'-'));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc::channel;

    /// A machine with a plymouth that writes down what it is asked, and runs `script`.
    fn splashed(script: &str) -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::below(dir.path().into());
        let program = machine.root.join(PROGRAM);
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        let text = format!("#!/bin/sh\necho \"$*\" >> \"$0.log\"\n{script}\n");
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        (dir, machine)
    }

    fn log(machine: &Machine) -> String {
        std::fs::read_to_string(machine.root.join("usr/bin/plymouth.log")).unwrap_or_default()
    }

    /// A program in a namespace of its own wants root. Without it the test is skipped with its
    /// reason, or fails under `LIVEROOT_STRICT=1`, as in tests/namespace.
    fn is_root() -> bool {
        let root = rustix::process::geteuid().is_root();
        let strict = std::env::var_os("LIVEROOT_STRICT").is_some_and(|v| v == "1");
        assert!(root || !strict, "skipped under LIVEROOT_STRICT: not root");
        if !root {
            println!("skipped: not root");
        }
        root
    }

    #[test]
    fn without_a_splash_nothing_is_run() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Splash::find(&Machine::below(dir.path().into())).is_none());
    }

    #[test]
    fn pages_are_shown_without_their_frame() {
        if !is_root() {
            return;
        }
        let (_dir, machine) = splashed("");
        let splash = Splash::find(&machine).unwrap();
        splash.show("\n-----\n It failed.\n\n Do this.\n-----\n");
        splash.show("\n");
        let want = "--ping\ndisplay-message --text=It failed.\nDo this.\n";
        assert_eq!(log(&machine), want);
    }

    #[test]
    fn a_key_or_enter_answers_and_a_splash_that_ended_does_not() {
        if !is_root() {
            return;
        }
        let answer = |script: &str, keys: &[u8]| {
            let (_dir, machine) = splashed(script);
            let splash = Splash::find(&machine).unwrap();
            let (sender, receiver) = channel();
            let heard = Box::new(move |key| _ = sender.send(key));
            let asking = splash.ask("\n Go on?\n", keys, Duration::from_secs(5), heard);
            let key = receiver.recv_timeout(Duration::from_secs(20)).ok();
            drop(asking);
            (key, log(&machine))
        };
        let (key, said) = answer("[ \"$1\" = --ping ] || echo K", b"kr");
        assert_eq!(key, Some(b'K'));
        let asked = "display-message --text=Go on?\nwatch-keystroke --keys=krKR\n";
        let off = "ignore-keystroke --keys=krKR\nhide-message --text=Go on?\n";
        assert!(said.ends_with(&format!("{asked}{off}")), "{said}");
        let (key, said) = answer("", b"");
        assert_eq!(key, Some(b'\r'));
        assert!(said.ends_with("ask-question --prompt=Go on?\n"), "{said}");
        assert_eq!(answer("[ \"$1\" = --ping ]", b"").0, None);
    }

    #[test]
    fn one_that_hangs_is_left() {
        if !is_root() {
            return;
        }
        let (_dir, machine) = splashed("exec sleep 60");
        let began = std::time::Instant::now();
        assert!(Splash::find(&machine).is_none());
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_question_that_a_console_answered_is_taken_off() {
        if !is_root() {
            return;
        }
        for (keys, off) in [(&b"k"[..], true), (b"", false)] {
            // Its number, then it waits to be ended.
            let ask = "case $1 in watch-*|ask-*) echo $$ > \"$0.pid\"; exec sleep 600;; esac";
            let (_dir, machine) = splashed(ask);
            let splash = Splash::find(&machine).unwrap();
            let (sender, receiver) = channel();
            let heard = Box::new(move |key| _ = sender.send(key));
            let asking = splash.ask("Go on?", keys, Duration::from_secs(600), heard);
            let file = machine.root.join("usr/bin/plymouth.pid");
            let begun = std::time::Instant::now();
            let pid = loop {
                assert!(begun.elapsed() < Duration::from_secs(60));
                match std::fs::read_to_string(&file) {
                    Ok(pid) if pid.ends_with('\n') => break pid,
                    _ => std::thread::yield_now(),
                }
            };
            drop(asking);
            // The thread is over, and says nothing.
            assert!(receiver.recv_timeout(Duration::from_secs(60)).is_err());
            let process = Path::new("/proc").join(pid.trim());
            assert!(!process.exists(), "it was ended");
            assert!(begun.elapsed() < Duration::from_secs(50));
            assert_eq!(log(&machine).contains("hide-message --text=Go on?"), off);
        }
    }
}
