//! Questions on the consoles, answered by a key, with an answer of their own when nobody is
//! there.

use super::hunt::listen::serve_people;
use super::loader::Loader;
use super::machine::Machine;
use super::page;
use super::plymouth::{Asking, Splash};
use crate::sys::console;
use crate::sys::keys::{self, KeyStop};
use crate::sys::{clock, process};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Hears keys while it lives; dropped, the consoles are as they were.
#[derive(Debug)]
pub struct Listener {
    _consoles: Option<KeyStop>,
    _splash: Option<Asking>,
}

/// Calls `heard` with each byte that is typed on any console, and with the answer that the splash
/// gets, if there is one: it is asked `text` for `limit`. None when no console can be read.
pub fn listen(
    machine: &Machine,
    (text, keys, limit): (&str, &[u8], Duration),
    heard: impl Fn(u8) + Clone + Send + 'static,
) -> Option<Listener> {
    let splash = Splash::find(machine)
        .and_then(|splash| splash.ask(text, keys, limit, Box::new(heard.clone())));
    let consoles = hear(machine, heard);
    // Each counts without the other.
    (consoles.is_some() || splash.is_some()).then(|| Listener {
        _consoles: consoles.and_then(|listener| listener._consoles),
        _splash: splash,
    })
}

/// The same of consoles only.
pub fn hear(machine: &Machine, heard: impl Fn(u8) + Send + 'static) -> Option<Listener> {
    let (typed, stop) = keys::open_keys(&console::active(&machine.sys, &machine.dev))?;
    let reading = process::start_thread(Box::new(move || typed.read(&heard)));
    reading.ok().map(|()| Listener {
        _consoles: Some(stop),
        _splash: None,
    })
}

/// One line of a countdown, over the one before.
pub fn countdown(what: &str, seconds: u64) -> String {
    match seconds {
        0 => format!("\r {what}.              \n"),
        n => format!("\r {what} in {n} s ... "),
    }
}

/// Asks, and waits for one of `keys` (lower case) or `limit`. Enter and silence give
/// `otherwise`. Keyboards are served meanwhile.
pub fn question(
    machine: &Machine,
    loader: &Loader,
    text: &str,
    keys: &[u8],
    otherwise: (u8, &str),
    limit: Duration,
) -> u8 {
    serve_people(machine, loader);
    let answer = ask(machine, text, keys, otherwise, limit);
    loader.stop();
    answer
}

fn ask(machine: &Machine, text: &str, keys: &[u8], otherwise: (u8, &str), limit: Duration) -> u8 {
    let (sender, receiver) = channel();
    // Before the text: whoever is quick is heard too.
    let _listener = listen(machine, (text, keys, limit), move |key| {
        // Nobody asks any more.
        let _ = sender.send(key.to_ascii_lowercase());
    });
    page::show_on_consoles(machine, text);
    let end = clock::since_boot() + limit;
    loop {
        let left = end.saturating_sub(clock::since_boot());
        let seconds = left.as_secs() + u64::from(left.subsec_millis() > 0);
        page::show_on_consoles(machine, &countdown(otherwise.1, seconds));
        if left.is_zero() {
            return otherwise.0;
        }
        let next = left.min(Duration::from_secs(1));
        match receiver.recv_timeout(next) {
            Ok(b'\r' | b'\n') => return answered(machine, otherwise.0),
            Ok(key) if keys.contains(&key) => return answered(machine, key),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                process::wait_until(clock::since_boot() + next, clock::since_boot)
            }
        }
    }
}

fn answered(machine: &Machine, key: u8) -> u8 {
    page::show_on_consoles(machine, "\n");
    key
}
