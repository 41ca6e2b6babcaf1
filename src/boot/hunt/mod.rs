//! The hunt for the medium: threads tell what they saw, [`Search`] decides, this acts.
//! What it knows of devices serves the search for the upper after it ([`upper`]).

pub mod listen;
pub mod upper;

use super::examine::{self, Sought, Stack};
use super::failure::Failure;
use super::gather;
use super::isoscan::{self, Host as IsoHost};
use super::loader::Loader;
use super::machine::Machine;
use super::medium::describe;
use super::named;
use super::page;
use super::probe::{self, probe_device};
use super::report::Report;
use super::within::ANSWERS;
use crate::layout::{HOME_TYPE, UPPER_TYPE};
use crate::plan::announced::Announced;
use crate::plan::medium::{Device, Facts, Probe, decide_name};
use crate::plan::modules::Rank;
use crate::plan::search::{Action, Event, Look, Search, Verdict};
use crate::request::{DeviceSpec, Host, Place, Request};
use crate::sys::uevent::{Sources, Uevent, UeventSocket};
use crate::sys::{block, clock, power, process};
use listen::{listen, watch_readers};
use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// The alias of an interface of mass storage, class 8, SCSI commands, bulk only.
const USB_STORAGE: &str = "usb:v0000p0000d0000dc00dsc00dp00ic08isc06ip50in00";

/// How long an insertion that does not end keeps the page away.
const DRIVERS: Duration = Duration::from_secs(15);

/// What threads tell the one that owns the search; the number is the candidate's order.
#[derive(Debug)]
enum Message {
    Uevent(Uevent),
    EventsLost,
    Probed(String, usize, Probe),
    Looked(String, usize, Look),
    Examined(String, usize, Box<Result<Stack, String>>),
    Holds(String, usize, Box<IsoHost>),
    /// Somebody at a console pressed a key.
    Key(u8),
}

/// Runs until the medium is found: the stack that was mounted from it, and the hunt, which
/// knows the other devices.
pub fn run<'a>(
    machine: &'a Machine,
    request: &'a Request,
    sought: Sought,
    search: Search,
    loader: &'a Loader,
    report: &mut Report,
) -> Result<(Hunt<'a>, String, Stack), Failure> {
    let (sender, receiver) = channel();
    let mut hunt = Hunt {
        machine,
        request,
        loader,
        search,
        sought,
        sender,
        receiver,
        stacks: HashMap::new(),
        hosts: HashMap::new(),
        announced: Announced::default(),
        linked: BTreeSet::new(),
    };
    hunt.listen(report);
    hunt.walk();
    if let Some(DeviceSpec::Path(path)) = hunt.search.wanted.spec.clone() {
        hunt.search.end();
        let named = named::examine(machine, loader, &hunt.sought, &path, ANSWERS);
        let named = named.map_err(|why| Failure::Words(format!("named as the medium: {why}")))?;
        report.medium = Some(named.medium);
        return Ok((hunt, named.name, named.stack));
    }
    let name = hunt.run(report);
    report.take_candidates(&hunt.search);
    let name = name?;
    let mut stack = hunt.stacks.remove(&name).ok_or(Failure::MediumNotFound)?;
    stack.host = hunt.hosts.remove(&name);
    // Others that were mounted for a look keep their devices from being written to.
    hunt.stacks.clear();
    hunt.hosts.clear();
    report.take_medium(&hunt.search, &name, &stack.node, stack.fs);
    Ok((hunt, name, stack))
}

/// What is known of devices, and who tells.
#[derive(Debug)]
pub struct Hunt<'a> {
    machine: &'a Machine,
    request: &'a Request,
    loader: &'a Loader,
    search: Search,
    sought: Sought,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    stacks: HashMap<String, Stack>,
    /// Disks with the ISO file, by the loop device over it. They fall after what is on them.
    hosts: HashMap<String, IsoHost>,
    announced: Announced,
    /// Devices that got links of udev while they were probed.
    linked: BTreeSet<String>,
}

impl Hunt<'_> {
    /// The socket is open before sysfs is walked: nothing falls between the two.
    fn listen(&self, report: &mut Report) {
        let sender = self.sender.clone();
        // The links of udev that the words name come after the kernel's event.
        let udev = self.request.host != Host::Own && !self.request.nodes().is_empty();
        let sources = match udev {
            true => Sources::KernelAndUdev,
            false => Sources::Kernel,
        };
        let spawned = UeventSocket::open(sources)
            .and_then(|socket| process::start_thread(Box::new(move || listen(&socket, &sender))));
        if let Err(e) = spawned {
            report.warn(format!("{e}: devices that appear later are not seen"));
        }
    }

    /// What is there already: devices that want a driver, then block devices. File systems
    /// and what stacks them are loaded while slow buses come up.
    fn walk(&mut self) {
        for alias in gather::modaliases(self.machine, |bus| self.loader.serves_bus(bus)) {
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
        self.announce();
        for name in block::list(&self.machine.sys) {
            let _ = self.sender.send(Message::Uevent(block_event(name)));
        }
    }

    fn run(&mut self, report: &mut Report) -> Result<String, Failure> {
        let mut loading_since = None;
        loop {
            let now = clock::since_boot();
            let deadline = self.search.next_deadline(now);
            let wait = deadline.saturating_sub(now).max(Duration::from_millis(1));
            let events = match self.receiver.recv_timeout(wait) {
                Ok(message) => self.receive(message),
                Err(_) => vec![self.tick(&mut loading_since)],
            };
            for event in events {
                let now = clock::since_boot();
                for action in self.search.step(now, event) {
                    match action {
                        Action::Accept(name) => return Ok(self.accept(name)),
                        Action::Probe(name) => self.start_probe(name),
                        Action::Look(name) => self.start_look(name),
                        Action::Examine(name) => self.start_examination(name),
                        Action::ShowPage => self.show_page(report),
                        Action::GiveUp => match self.request.host {
                            Host::Own => self.power_off(now),
                            Host::Dracut { .. } => return Err(Failure::MediumNotFound),
                        },
                    }
                }
            }
        }
    }

    /// Whoever stands before the page is told that it is over.
    fn accept(&self, name: String) -> String {
        if self.search.shows_page() {
            page::show(self.machine, &format!("\n Found on {name}. Starting.\n"));
        }
        name
    }

    fn power_off(&self, now: Duration) {
        log::error!("no medium after {} s: power off", now.as_secs());
        let e = power::power_off();
        log::error!("power off: {e}");
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

    /// Turns a message into events for the search; an answer about a device that has gone,
    /// or that another one of the same name has replaced, is of the past.
    fn receive(&mut self, message: Message) -> Vec<Event> {
        let present = |name: &str, order: usize| {
            self.search
                .candidate(name)
                .is_some_and(|c| c.order == order)
        };
        match message {
            Message::EventsLost => {
                let there = block::list(&self.machine.sys);
                let names = self
                    .search
                    .candidates()
                    .into_iter()
                    .map(|c| c.device.name.clone());
                let gone = names
                    .filter(|n| !there.contains(n))
                    .map(Event::Gone)
                    .collect();
                self.walk();
                gone
            }
            Message::Probed(name, order, probe) if present(&name, order) => {
                self.load_for_upper(&probe);
                let again = self.linked.remove(&name);
                let again = again.then(|| gather::device(self.machine, &name)).flatten();
                let probed = Event::Probed(name, probe);
                [probed].into_iter().chain(again.map(Event::Seen)).collect()
            }
            Message::Looked(name, order, look) if present(&name, order) => {
                vec![Event::Looked(name, look)]
            }
            Message::Probed(..) | Message::Looked(..) => Vec::new(),
            Message::Examined(name, order, _) if !present(&name, order) => Vec::new(),
            Message::Holds(name, order, host) if present(&name, order) => {
                let Some(device) = self.iso_device(&name, &host) else {
                    return Vec::new();
                };
                log::info!("{name}: holds the ISO file, seen as {}", device.name);
                self.hosts.insert(device.name.clone(), *host);
                vec![Event::Holds(name, device)]
            }
            Message::Holds(..) => Vec::new(),
            Message::Examined(name, _, outcome) => {
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
                vec![Event::Examined(name, outcome)]
            }
            Message::Uevent(uevent) => self.receive_uevent(uevent).into_iter().collect(),
            Message::Key(_) => Vec::new(),
        }
    }

    /// udev has made its links to a device: whether it is the one that they name is looked at
    /// again, when a probe that goes on has ended.
    fn receive_links(&mut self, uevent: Uevent) -> Option<Event> {
        let name = uevent.devname.filter(|_| uevent.subsystem == "block")?;
        let name = name.replace('/', "!");
        let verdict = &self.search.candidate(&name)?.verdict;
        if matches!(verdict, Verdict::Probing(_)) {
            self.linked.insert(name);
            return None;
        }
        gather::device(self.machine, &name).map(Event::Seen)
    }

    fn receive_uevent(&mut self, uevent: Uevent) -> Option<Event> {
        if uevent.repeated {
            return self.receive_links(uevent);
        }
        self.announced.take(
            clock::since_boot(),
            &uevent.action,
            &uevent.devpath,
            uevent.modalias.as_deref(),
        );
        if let Some(alias) = uevent.modalias.filter(|_| uevent.action == "add") {
            self.loader.want(&alias);
        }
        match (
            uevent.subsystem.as_str(),
            uevent.action.as_str(),
            uevent.devname,
        ) {
            ("block", "remove", Some(name)) => {
                let name = name.replace('/', "!");
                self.drop_stacks(&name);
                Some(Event::Gone(name))
            }
            // sysfs writes `!` where /dev has a directory.
            ("block", "add" | "change", Some(name)) => {
                gather::device(self.machine, &name.replace('/', "!")).map(Event::Seen)
            }
            // Signs that hardware is still coming up.
            ("usb" | "scsi" | "mmc" | "virtio" | "nvme" | "pci", "add", _) => Some(Event::Activity),
            _ => None,
        }
    }

    /// What was mounted from a device that has gone, and from a file on it.
    fn drop_stacks(&mut self, name: &str) {
        let on_it = |host: &IsoHost| host.name == name;
        let files = self.hosts.iter().filter(|(_, host)| on_it(host));
        for file in files.map(|(file, _)| file.as_str()).chain([name]) {
            self.stacks.remove(file);
        }
        self.hosts.retain(|_, host| !on_it(host));
    }

    /// The loop device over the ISO file, as the search sees it.
    fn iso_device(&self, host: &str, found: &IsoHost) -> Option<Device> {
        let on = &self.search.candidate(host)?.device;
        let name = found.loop_device.path.file_name()?.to_str()?;
        Some(Device {
            name: name.to_owned(),
            size: block::read_facts(&self.machine.sys, name)?.size,
            parent: Some(on.disk().to_owned()),
            partitions: Vec::new(),
            optical: false,
            model: on.model.clone(),
            host: Some(host.to_owned()),
        })
    }

    /// Storage whose interface came before the socket, and whose disk has not come yet.
    fn announce(&mut self) {
        let now = clock::since_boot();
        for (path, alias) in gather::usb_interfaces(self.machine) {
            self.announced.take(now, "add", &path, Some(&alias));
        }
        for path in gather::block_paths(self.machine) {
            self.announced.take(now, "add", &path, None);
        }
    }

    /// The driver of a file system that will be wanted after the medium.
    fn load_for_upper(&self, probe: &Probe) {
        if let Probe::Facts(Facts {
            fs: Some(fs),
            part_type: Some(part_type),
            ..
        }) = probe
            && [UPPER_TYPE, HOME_TYPE].contains(&&**part_type)
        {
            self.loader.want(&format!("fs-{}", fs.kind.name()));
        }
    }

    /// A thread a device: one that hangs costs nobody else time.
    fn start_probe(&self, name: String) {
        let Some(candidate) = self.search.candidate(&name) else {
            return;
        };
        let (device, order) = (candidate.device.clone(), candidate.order);
        let spec = self.search.wanted.spec.as_ref();
        let place = &self.request.upper.place;
        let with_table = spec.is_some_and(DeviceSpec::needs_table) || *place != Place::Memory;
        let nodes = self.request.nodes();
        let machine = self.machine.clone();
        self.spawn(move |sender| {
            let probe = probe_device(&machine, &device, with_table, &nodes);
            let _ = sender.send(Message::Probed(device.name, order, probe));
        });
    }

    fn start_look(&self, name: String) {
        let Some(order) = self.search.candidate(&name).map(|c| c.order) else {
            return;
        };
        let machine = self.machine.clone();
        self.spawn(move |sender| {
            let look = probe::look(&machine, &name);
            let _ = sender.send(Message::Looked(name, order, look));
        });
    }

    /// The kernel reads a partition table before it answers an open, and may have shown the
    /// disk before that: what sysfs says of it is read anew.
    fn start_examination(&self, name: String) {
        let Some(candidate) = self.search.candidate(&name) else {
            return;
        };
        let Some(fs) = candidate.facts.fs.as_ref().map(|f| f.kind) else {
            return;
        };
        let device = &candidate.device;
        let iso = self.search.wanted.iso.clone();
        let iso = iso.filter(|_| device.host.is_none());
        let named = decide_name(&self.search.wanted, device, &candidate.facts);
        let known = &candidate.device.partitions;
        if gather::device(self.machine, &name).is_some_and(|d| d.partitions != *known) {
            let _ = self.sender.send(Message::Uevent(block_event(name)));
            return;
        }
        let order = candidate.order;
        let (machine, loader) = (self.machine.clone(), self.loader.clone());
        let sought = self.sought.clone();
        self.spawn(move |sender| {
            let held = iso.map(|path| isoscan::look(&machine, &loader, &name, fs, &path));
            let outcome = match (held, named) {
                (Some(Ok(host)), _) => {
                    let _ = sender.send(Message::Holds(name, order, Box::new(host)));
                    return;
                }
                (Some(Err(why)), Err(_)) => Err(why),
                _ => examine::examine(&machine, &loader, &sought, &name, fs),
            };
            let _ = sender.send(Message::Examined(name, order, Box::new(outcome)));
        });
    }

    fn spawn(&self, work: impl FnOnce(Sender<Message>) + Send + 'static) {
        let sender = self.sender.clone();
        if let Err(e) = process::start_thread(Box::new(move || work(sender))) {
            log::error!("{e}");
        }
    }

    fn show_page(&self, report: &mut Report) {
        self.loader.load_for_page();
        watch_readers(self.machine);
        log::warn!(
            "medium-not-found: waiting for {}",
            describe(&self.search.wanted)
        );
        report.take_candidates(&self.search);
        report.write(self.machine);
        let notes = page::notes(report, &self.loader.troubles());
        let text = page::render(
            &Failure::MediumNotFound,
            self.request,
            &notes,
            Some(&self.search),
        );
        page::show(self.machine, &text);
        let sought = describe(&self.search.wanted);
        page::keep(self.machine, &Failure::MediumNotFound, Some(&sought), &text);
    }
}

fn block_event(name: String) -> Uevent {
    Uevent {
        action: "add".into(),
        subsystem: "block".into(),
        devname: Some(name),
        ..Uevent::default()
    }
}
