//! Loads modules: several at once, each once, what it depends on first.
//!
//! A module that this machine does not need costs nothing but its place in the archive:
//! it lies there compressed by itself and is unpacked here when it is loaded.

use super::machine::Machine;
use super::report::{ModuleRecord, Report, micros};
use super::unpack::{Dictionary, unpack};
use crate::plan::modules::{ModuleId, ModuleIndex, Rank, decide_parameters};
use crate::sys::module::{Inserted, insert_file, insert_image, insert_packed_file};
use crate::sys::{Error, clock, power, process};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Threads that insert, at most; one a CPU.
const WORKERS: usize = 4;

/// Scheduling priority of the workers: a thread that has found the medium goes before them.
const WORKER_NICE: i32 = 10;

/// A spare worker takes over when every other has been at one insertion for longer than this.
const STUCK: Duration = Duration::from_secs(1);

/// How many drivers may hang before modules are no longer loaded.
const SPARES: usize = 3;

/// The loader; cheap to clone, all clones are one.
#[derive(Clone, Debug)]
pub struct Loader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    index: ModuleIndex,
    dir: PathBuf,
    parameters: Vec<(String, Option<String>)>,
    blacklist: Vec<String>,
    dictionary: Option<Dictionary>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By rank, then by the order of asking.
    queue: BTreeSet<(Rank, usize, ModuleId)>,
    asked: usize,
    ranks: BTreeSet<Rank>,
    deferred: Vec<ModuleId>,
    stopped: bool,
    page: bool,
    troubles: Vec<String>,
    stages: HashMap<ModuleId, Stage>,
    records: Vec<ModuleRecord>,
    /// When each insertion began that goes on.
    busy: Vec<(thread::ThreadId, Duration, ModuleId)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Loading,
    Done,
}

/// `uname -r`.
pub fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

impl Loader {
    /// Reads the index of the running kernel's modules and starts the workers.
    pub fn start(
        machine: &Machine,
        parameters: Vec<(String, Option<String>)>,
        blacklist: Vec<String>,
        report: &mut Report,
    ) -> Self {
        let release = kernel_release();
        let dir = machine.root.join("lib/modules").join(&release);
        let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap_or_default();
        let index = ModuleIndex::parse(
            &read("modules.dep"),
            read("modules.alias"),
            &read("modules.softdep"),
        );
        if index.is_empty() && !dir.exists() {
            report.warn(format!(
                "the initramfs has no modules for the running kernel {release}"
            ));
        }
        let dictionary = Dictionary::read(&dir);
        let loader = Loader(Arc::new(Shared {
            index,
            dictionary,
            dir,
            parameters,
            blacklist,
            state: Mutex::default(),
            changed: Condvar::new(),
        }));
        let workers = power::online_cpus().min(WORKERS);
        for number in 0..workers + SPARES {
            let worker = loader.clone();
            let patience = if number < workers {
                Duration::ZERO
            } else {
                STUCK
            };
            if let Err(e) = process::start_thread(Box::new(move || worker.work(patience))) {
                report.warn(format!("{e} that loads modules"));
            }
        }
        loader
    }

    /// Queues the modules for a device that is there. Those that only serve people are kept
    /// for [`Loader::load_for_page`].
    pub fn want(&self, alias: &str) {
        self.queue(alias, None);
    }

    /// Queues what nobody asked for yet but will.
    pub fn want_ahead(&self, alias: &str, rank: Rank) {
        self.queue(alias, Some(rank));
    }

    /// Whether modules of that rank are queued or were loaded.
    pub fn has_asked(&self, rank: Rank) -> bool {
        self.0.lock().ranks.contains(&rank)
    }

    fn queue(&self, alias: &str, rank: Option<Rank>) {
        for id in self.0.index.find(alias) {
            let name = self.0.index.get(id).map_or("", |m| m.name.as_str());
            if self.0.blacklist.iter().any(|b| b == name) {
                continue;
            }
            let mut state = self.0.lock();
            match rank.unwrap_or_else(|| self.0.index.rank(id, alias)) {
                Rank::Page if !state.page => state.deferred.push(id),
                rank => state.ask(rank, id),
            }
            drop(state);
            self.0.changed.notify_all();
        }
    }

    /// The medium is found: what is not being loaded now is the live system's to load.
    pub fn stop(&self) {
        let mut state = self.0.lock();
        state.stopped = true;
        state.queue.clear();
    }

    /// Whether a device on this bus of sysfs can call for any module here.
    pub fn serves_bus(&self, bus: &str) -> bool {
        // Devices described by ACPI sit on the platform bus and have its aliases.
        bus == "platform" || self.0.index.knows_bus(bus)
    }

    /// Keyboards and screens, now that somebody looks: all that were kept, and from now on
    /// as they are plugged in. Hosts of USB keyboards too, if loading had been stopped.
    pub fn load_for_page(&self) {
        let mut state = self.0.lock();
        state.stopped = false;
        state.page = true;
        let deferred = std::mem::take(&mut state.deferred);
        deferred
            .into_iter()
            .for_each(|id| state.ask(Rank::Page, id));
        drop(state);
        self.0.changed.notify_all();
    }

    /// Waits until no insertion goes on, or for `limit`. A process that ends while its
    /// threads insert makes drivers fail (a killed thread starts no kernel threads).
    pub fn settle(&self, limit: Duration) {
        let deadline = clock::since_boot() + limit;
        let mut state = self.0.lock();
        while !state.busy.is_empty() {
            let Some(left) = deadline.checked_sub(clock::since_boot()) else {
                return;
            };
            state = self.0.wait_until(state, left);
        }
    }

    /// Modules that could not be loaded, as people read it.
    pub fn failures(&self) -> Vec<String> {
        self.0.lock().troubles.clone()
    }

    /// The same, and those that hang: while something is waited for, they may be why.
    pub fn troubles(&self) -> Vec<String> {
        let now = clock::since_boot();
        let state = self.0.lock();
        let hanging = state
            .busy
            .iter()
            .filter(|(_, since, _)| *since + STUCK < now);
        let hanging = hanging.filter_map(|(_, since, id)| {
            let name = &self.0.index.get(*id)?.name;
            Some(format!(
                "the driver {name} is still loading after {} s",
                (now - *since).as_secs()
            ))
        });
        state.troubles.iter().cloned().chain(hanging).collect()
    }

    /// Loads what `alias` (a module's name, `fs-ext4`) calls for, and waits for it. Nothing
    /// found is no error: it may be built in, and the mount that follows will tell.
    pub fn need(&self, alias: &str) {
        for id in self.0.index.find(alias) {
            self.load(id);
        }
    }

    /// How many modules are being loaded or wait for it.
    pub fn pending(&self) -> usize {
        let state = self.0.lock();
        state.queue.len() + state.busy.len()
    }

    /// What was loaded so far, for the report, and what is being loaded.
    pub fn records(&self) -> Vec<ModuleRecord> {
        let state = self.0.lock();
        let loading = state
            .stages
            .iter()
            .filter(|(_, stage)| **stage == Stage::Loading);
        let unfinished = loading.filter_map(|(id, _)| {
            let name = self.0.index.get(*id)?.name.clone();
            Some(ModuleRecord {
                name,
                at_us: 0,
                took_us: 0,
                result: "still loading".to_owned(),
            })
        });
        state.records.iter().cloned().chain(unfinished).collect()
    }

    /// A worker's life. `patience` is how long the others must have been at one insertion
    /// before this one takes another: zero for all but the spare.
    fn work(&self, patience: Duration) {
        process::set_thread_nice(WORKER_NICE);
        let mut state = self.0.lock();
        loop {
            let now = clock::since_boot();
            let latest = state
                .busy
                .iter()
                .map(|(_, since, _)| *since + patience)
                .max();
            match latest {
                _ if state.queue.is_empty() => state = self.0.wait(state),
                Some(at) if !patience.is_zero() && at > now => {
                    state = self.0.wait_until(state, at - now);
                }
                // The workers are about to take it.
                None if !patience.is_zero() => state = self.0.wait_until(state, patience),
                _ => state = self.load_next(state, now),
            }
        }
    }

    fn load_next<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        now: Duration,
    ) -> MutexGuard<'a, State> {
        let me = thread::current().id();
        if let Some((_, _, id)) = state.queue.pop_first() {
            state.busy.push((me, now, id));
            drop(state);
            self.load(id);
            state = self.0.lock();
            state.busy.retain(|(worker, ..)| *worker != me);
            self.0.changed.notify_all();
        }
        state
    }

    fn load(&self, id: ModuleId) {
        for step in self.0.index.order(id) {
            self.load_one(step);
        }
    }

    /// Inserts one module, or waits for the thread that does.
    fn load_one(&self, id: ModuleId) {
        let mut state = self.0.lock();
        loop {
            match state.stages.get(&id) {
                Some(Stage::Done) => return,
                Some(Stage::Loading) => state = self.0.wait(state),
                None => break,
            }
        }
        state.stages.insert(id, Stage::Loading);
        drop(state);
        let record = self.0.insert(id);
        let mut state = self.0.lock();
        state.stages.insert(id, Stage::Done);
        state.records.extend(record);
        drop(state);
        self.0.changed.notify_all();
    }
}

impl State {
    /// A module that is in, or on its way, is not asked for again.
    fn ask(&mut self, rank: Rank, id: ModuleId) {
        if !self.stopped && !self.stages.contains_key(&id) {
            self.asked += 1;
            self.ranks.insert(rank);
            self.queue.insert((rank, self.asked, id));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until<'a>(
        &self,
        state: MutexGuard<'a, State>,
        limit: Duration,
    ) -> MutexGuard<'a, State> {
        self.changed
            .wait_timeout(state, limit)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn insert(&self, id: ModuleId) -> Option<ModuleRecord> {
        let module = self.index.get(id)?;
        let began = clock::since_boot();
        let parameters = decide_parameters(&module.name, &self.parameters);
        let path = self.dir.join(&module.path);
        let inserted = match self.insert_from(&path, &parameters) {
            Ok(Some(inserted)) => Ok(inserted),
            // Other people's compression, in a kernel that does not unpack it: it asks modprobe
            // for what is mounted or opened, and udev for the rest.
            Ok(None) => return None,
            Err(e) => Err(e),
        };
        let result = match inserted {
            Ok(Inserted::Loaded) => "loaded".to_owned(),
            Ok(Inserted::Already) => "already there".to_owned(),
            Ok(Inserted::NoDevice) => "no device".to_owned(),
            Err(e) => {
                log::warn!("{e}");
                self.lock().troubles.push(e.to_string());
                e.to_string()
            }
        };
        let took_us = micros(clock::since_boot() - began);
        Some(ModuleRecord {
            name: module.name.clone(),
            at_us: micros(began),
            took_us,
            result,
        })
    }

    /// Inserts a module file: plain, compressed with zstd by our builder, or by somebody else.
    fn insert_from(&self, path: &Path, parameters: &str) -> Result<Option<Inserted>, Error> {
        match path.extension().map(|e| e.as_encoded_bytes()) {
            Some(b"xz" | b"gz") => return insert_packed_file(path, parameters),
            Some(b"zst") => {}
            _ => return insert_file(path, parameters).map(Some),
        }
        let packed = std::fs::read(path).map_err(|e| Error::io("reading", path.display(), &e))?;
        match unpack(&packed, self.dictionary.as_ref()) {
            Some(image) => insert_image(path, &image, parameters).map(Some),
            // Not as our builder packs: the frame does not say how long it is.
            None => insert_packed_file(path, parameters)?
                .ok_or_else(|| Error::new("unpacking", path.display(), libc::EBADMSG))
                .map(Some),
        }
    }
}
