//! What the kernel tells while somebody waits: uevents, and the drivers that people need.

use super::Message;
use crate::boot::gather;
use crate::boot::loader::Loader;
use crate::boot::machine::Machine;
use crate::sys::process;
use crate::sys::uevent::{Received, Sources, Uevent, UeventSocket};
use std::sync::mpsc::{Sender, channel};

/// Lets the kernel ask card readers for cards; it tells by uevent then, as it does under
/// udev, which sets the same two seconds. Without the file nothing is lost but that.
pub(super) fn watch_readers(machine: &Machine) {
    let file = machine
        .sys
        .join("module/block/parameters/events_dfl_poll_msecs");
    let _ = std::fs::write(file, "2000");
}

/// Loads drivers of keyboards and screens for as long as a page is shown that nothing but
/// people can end, as they are plugged in too.
pub fn serve_people(machine: &Machine, loader: &Loader) {
    loader.load_for_page();
    let (sender, receiver) = channel();
    let listening = UeventSocket::open(Sources::Kernel)
        .and_then(|socket| process::start_thread(Box::new(move || listen(&socket, &sender))));
    if let Err(e) = listening {
        log::warn!("{e}");
    }
    for alias in gather::modaliases(machine, |bus| loader.serves_bus(bus)) {
        loader.want(&alias);
    }
    let loader = loader.clone();
    let served = process::start_thread(Box::new(move || {
        while let Ok(message) = receiver.recv() {
            if let Message::Uevent(Uevent {
                modalias: Some(alias),
                ..
            }) = message
            {
                loader.want(&alias);
            }
        }
    }));
    if let Err(e) = served {
        log::warn!("{e}");
    }
}

pub(super) fn listen(socket: &UeventSocket, sender: &Sender<Message>) {
    loop {
        let message = match socket.receive() {
            Ok(Received::Event(uevent)) => Message::Uevent(uevent),
            Ok(Received::Lost) => Message::EventsLost,
            Ok(Received::Foreign) => continue,
            Err(e) => return log::error!("{e}"),
        };
        if sender.send(message).is_err() {
            return;
        }
    }
}
