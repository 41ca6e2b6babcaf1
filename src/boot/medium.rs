//! Finds the medium: threads tell what they saw, [`Search`] decides, this acts.

use super::examine::{self, Sought, Stack};
use super::failure::Failure;
use super::gather;
use super::loader::Loader;
use super::machine::Machine;
use super::page;
use super::probe::probe_device;
use super::report::{CandidateReport, MediumReport, Report};
use crate::layout::ImageManifest;
use crate::ondisk::FsKind;
use crate::plan::medium::{Device, Probe, Wanted};
use crate::plan::modules::Rank;
use crate::plan::search::{Action, Candidate, Event, Limits, Search, Verdict};
use crate::request::{DeviceSpec, Request};
use crate::sys::uevent::{Received, Uevent, UeventSocket};
use crate::sys::{block, clock, power};
use crate::units::Label;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// How long an insertion that does not end keeps the page away.
const DRIVERS: Duration = Duration::from_secs(15);

/// The alias of an interface of mass storage, class 8, SCSI commands, bulk only.
const USB_STORAGE: &str = "usb:v0000p0000d0000dc00dsc00dp00ic08isc06ip50in00";

/// What threads tell the one that owns the search.
enum Message {
    Uevent(Uevent),
    EventsLost,
    Probed(String, Probe),
    Examined(String, Box<Result<Stack, String>>),
}

/// What is to be found: by the words, else by the manifest of this initramfs.
pub fn decide_wanted(
    request: &Request,
    manifest: Option<&ImageManifest>,
) -> Result<Wanted, Failure> {
    let by_label = || manifest.map(|m| DeviceSpec::Label(Label::new(&m.label)));
    let spec = request
        .medium
        .clone()
        .or_else(by_label)
        .ok_or(Failure::NothingWanted)?;
    let image_path = format!("{}/{}", request.live_dir, request.squashimg);
    Ok(Wanted {
        spec: Some(spec),
        id: manifest.map(|m| m.id.clone()),
        image_path: image_path.trim_start_matches('/').to_owned(),
    })
}

/// One line for log and page.
pub fn describe(wanted: &Wanted) -> String {
    let spec = wanted
        .spec
        .as_ref()
        .map_or("any medium".to_owned(), ToString::to_string);
    match &wanted.id {
        Some(id) => format!("{spec} with {} (id {})", wanted.image_path, id.short()),
        None => format!("{spec} with {}", wanted.image_path),
    }
}

/// Finds it, however long that takes: a page is shown when nothing fits, and the search
/// goes on behind it.
pub fn find(
    machine: &Machine,
    request: &Request,
    wanted: Wanted,
    loader: &Loader,
    report: &mut Report,
) -> Result<Stack, Failure> {
    let limits = Limits {
        timeout: request.timeout,
        power_off: (!request.shell).then_some(request.retry),
    };
    let sought = Sought {
        live_dir: request.live_dir.clone(),
        image_path: wanted.image_path.clone(),
        init: request.init.clone(),
    };
    let (sender, receiver) = channel();
    let mut hunt = Hunt {
        machine,
        request,
        loader,
        search: Search::new(wanted, limits, clock::since_boot()),
        sought,
        sender,
        stacks: HashMap::new(),
    };
    hunt.listen(report);
    hunt.walk();
    let name = hunt.run(&receiver);
    loader.stop();
    report.candidates = hunt
        .search
        .candidates()
        .into_iter()
        .map(report_candidate)
        .collect();
    let name = name?;
    let stack = hunt.stacks.remove(&name).ok_or(Failure::MediumNotFound)?;
    report.medium = hunt
        .search
        .candidate(&name)
        .map(|c| report_medium(c, &stack));
    if let (Some(want), Some(has)) = (&hunt.search.wanted.id, &stack.found.id)
        && want != has
    {
        report.warn(format!(
            "the image on {name} has the id {}, this initramfs was made for {}: taken, for the words name it",
            has.short(),
            want.short()
        ));
    }
    log::info!(
        "medium {}: {}",
        stack.node.display(),
        describe(&hunt.search.wanted)
    );
    Ok(stack)
}

struct Hunt<'a> {
    machine: &'a Machine,
    request: &'a Request,
    loader: &'a Loader,
    search: Search,
    sought: Sought,
    sender: Sender<Message>,
    stacks: HashMap<String, Stack>,
}

impl Hunt<'_> {
    /// The socket is open before sysfs is walked: nothing falls between the two.
    fn listen(&self, report: &mut Report) {
        let sender = self.sender.clone();
        let spawned = UeventSocket::open()
            .map_err(|e| e.to_string())
            .and_then(|socket| {
                let listen = move || listen(&socket, &sender);
                thread::Builder::new()
                    .spawn(listen)
                    .map_err(|e| e.to_string())
            });
        if let Err(e) = spawned {
            report.warn(format!("{e}: devices that appear later are not seen"));
        }
    }

    /// What is there already: devices that want a driver, then block devices. File systems
    /// and what stacks them are loaded while slow buses come up.
    fn walk(&mut self) {
        for alias in modaliases(self.machine, self.loader) {
            self.loader.want(&alias);
        }
        for name in ["loop", "fs-squashfs", "fs-overlay", "fs-iso9660"] {
            self.loader.want(name);
        }
        // A stick answers its host 0.3 s later and is a SCSI disk after one second more: the
        // drivers are in by then.
        if self.loader.has_asked(Rank::UsbHost) {
            self.loader.want_ahead(USB_STORAGE, Rank::UsbHost);
        }
        self.loader.want_ahead("scsi:t-0x00", Rank::Ahead);
        self.loader.want_ahead("scsi:t-0x05", Rank::Ahead);
        for name in block::list(&self.machine.sys) {
            let _ = self.sender.send(Message::Uevent(Uevent {
                action: "add".into(),
                subsystem: "block".into(),
                devname: Some(name),
                ..Uevent::default()
            }));
        }
    }

    fn run(&mut self, receiver: &Receiver<Message>) -> Result<String, Failure> {
        let mut loading_since = None;
        loop {
            let now = clock::since_boot();
            let deadline = self.search.next_deadline(now);
            let wait = deadline.saturating_sub(now).max(Duration::from_millis(1));
            let event = match receiver.recv_timeout(wait) {
                Ok(message) => self.receive(message),
                Err(_) => Some(self.tick(&mut loading_since)),
            };
            let Some(event) = event else { continue };
            let now = clock::since_boot();
            for action in self.search.step(now, event) {
                match action {
                    Action::Accept(name) => return Ok(name),
                    Action::Probe(name) => self.start_probe(name),
                    Action::Examine(name) => self.start_examination(name),
                    Action::ShowPage => self.show_page(),
                    Action::PowerOff => {
                        log::error!("no medium after {} s: power off", now.as_secs());
                        let e = power::power_off();
                        log::error!("power off: {e}");
                    }
                }
            }
        }
    }

    /// Time passed. Drivers that still go in are a reason to wait, as events are; one that
    /// hangs is so for [`DRIVERS`] only.
    fn tick(&self, loading_since: &mut Option<Duration>) -> Event {
        let now = clock::since_boot();
        if self.loader.pending() == 0 {
            *loading_since = None;
            return Event::Tick;
        }
        let since = *loading_since.get_or_insert(now);
        if now < since + DRIVERS {
            Event::Activity
        } else {
            Event::Tick
        }
    }

    fn receive(&mut self, message: Message) -> Option<Event> {
        match message {
            Message::EventsLost => {
                self.walk();
                Some(Event::Activity)
            }
            Message::Probed(name, probe) => Some(Event::Probed(name, probe)),
            Message::Examined(name, outcome) => {
                let outcome = match *outcome {
                    Ok(stack) => {
                        let found = stack.found.clone();
                        self.stacks.insert(name.clone(), stack);
                        Ok(found)
                    }
                    Err(why) => {
                        log::info!("{name}: {why}");
                        Err(why)
                    }
                };
                Some(Event::Examined(name, outcome))
            }
            Message::Uevent(uevent) => self.receive_uevent(uevent),
        }
    }

    fn receive_uevent(&mut self, uevent: Uevent) -> Option<Event> {
        if let Some(alias) = uevent.modalias.filter(|_| uevent.action == "add") {
            self.loader.want(&alias);
        }
        match (
            uevent.subsystem.as_str(),
            uevent.action.as_str(),
            uevent.devname,
        ) {
            ("block", "remove", Some(name)) => {
                self.stacks.remove(&name);
                Some(Event::Gone(name))
            }
            ("block", "add" | "change", Some(name)) => {
                gather::device(self.machine, &name).map(Event::Seen)
            }
            // Signs that hardware is still coming up.
            ("usb" | "scsi" | "mmc" | "virtio" | "nvme" | "pci", "add", _) => Some(Event::Activity),
            _ => None,
        }
    }

    /// A thread a device: one that hangs costs nobody else time.
    fn start_probe(&self, name: String) {
        let Some(candidate) = self.search.candidate(&name) else {
            return;
        };
        let device: Device = candidate.device.clone();
        let with_table = self
            .search
            .wanted
            .spec
            .as_ref()
            .is_some_and(DeviceSpec::needs_table);
        let machine = self.machine.clone();
        self.spawn(move |sender| {
            let probe = probe_device(&machine, &device, with_table);
            let _ = sender.send(Message::Probed(device.name, probe));
        });
    }

    fn start_examination(&self, name: String) {
        let Some(fs) = self.search.candidate(&name).and_then(fs_of) else {
            return;
        };
        let (machine, loader) = (self.machine.clone(), self.loader.clone());
        let sought = self.sought.clone();
        self.spawn(move |sender| {
            let outcome = examine::examine(&machine, &loader, &sought, &name, fs);
            let _ = sender.send(Message::Examined(name, Box::new(outcome)));
        });
    }

    fn spawn(&self, work: impl FnOnce(Sender<Message>) + Send + 'static) {
        let sender = self.sender.clone();
        if let Err(e) = thread::Builder::new().spawn(move || work(sender)) {
            log::error!("starting a thread: {e}");
        }
    }

    fn show_page(&self) {
        self.loader.load_for_page();
        log::warn!(
            "medium-not-found: waiting for {}",
            describe(&self.search.wanted)
        );
        let text = page::render(&Failure::MediumNotFound, self.request, Some(&self.search));
        page::show(self.machine, &text);
    }
}

fn listen(socket: &UeventSocket, sender: &Sender<Message>) {
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

/// Every MODALIAS on the buses that modules of the initramfs serve. CPU features are left
/// out: what they call for is cryptography that nobody asked for yet.
fn modaliases(machine: &Machine, loader: &Loader) -> Vec<String> {
    let below = |dir: std::path::PathBuf| {
        std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
    };
    let served = |bus: &std::path::PathBuf| {
        let name = bus.file_name().unwrap_or_default().to_string_lossy();
        name != "cpu" && loader.serves_bus(&name)
    };
    let mut found = Vec::new();
    for bus in below(machine.sys.join("bus")).filter(served) {
        for device in below(bus.join("devices")) {
            if let Ok(alias) = std::fs::read_to_string(device.join("modalias")) {
                found.push(alias.trim().to_owned());
            }
        }
    }
    // Hosts of storage first, in any order: a sorted list makes boots alike.
    found.sort_by_key(|alias| {
        (
            !alias.starts_with("virtio:") && !alias.starts_with("pci:"),
            alias.clone(),
        )
    });
    found.dedup();
    found
}

fn fs_of(candidate: &Candidate) -> Option<FsKind> {
    candidate.facts.fs.as_ref().map(|f| f.kind)
}

fn report_candidate(c: &Candidate) -> CandidateReport {
    let fs = c.facts.fs.as_ref();
    let (verdict, reason) = describe_verdict(&c.verdict);
    CandidateReport {
        device: format!("/dev/{}", c.device.name),
        model: c.device.model.clone(),
        size: c.device.size.bytes().0,
        fs: fs.map(|f| f.kind.name()),
        label: fs.and_then(|f| f.label.as_ref()).map(Label::to_string),
        uuid: fs.and_then(|f| f.uuid.clone()),
        verdict,
        reason,
    }
}

/// A verdict as report and page show it.
pub fn describe_verdict(verdict: &Verdict) -> (&'static str, String) {
    match verdict {
        Verdict::Probing(_) => ("unanswered", "does not answer".to_owned()),
        Verdict::Examining(_) => ("unanswered", "has the name, does not answer".to_owned()),
        Verdict::Empty(_) => ("empty", "no disc in the drive".to_owned()),
        Verdict::Named => (
            "waiting",
            "has the name, waits for its partitions".to_owned(),
        ),
        Verdict::OtherImage(found) => {
            let id = found.id.as_ref().map_or("none", |id| id.short());
            ("other-image", format!("holds another image (id {id})"))
        }
        Verdict::Accepted(_) => ("accepted", "holds the image".to_owned()),
        Verdict::Refused(why) => ("refused", why.clone()),
    }
}

fn report_medium(c: &Candidate, stack: &Stack) -> MediumReport {
    let fs = c.facts.fs.as_ref();
    let why = match &c.device.parent {
        Some(disk) => {
            format!("named by the words; partition of {disk}, which is preferred to the disk")
        }
        None => "named by the words".to_owned(),
    };
    MediumReport {
        device: stack.node.display().to_string(),
        fs: stack.fs.name().to_owned(),
        label: fs.and_then(|f| f.label.as_ref()).map(Label::to_string),
        uuid: fs.and_then(|f| f.uuid.clone()),
        why,
    }
}
