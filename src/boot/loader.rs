//! Loads modules: several at once, each once, what it depends on first.
//!
//! A module that this machine does not need costs nothing but its place in the archive:
//! it lies there compressed by itself and is unpacked here when it is loaded.

use super::machine::Machine;
use super::report::{ModuleRecord, Report, micros};
use crate::layout::MODULE_DICTIONARY;
use crate::plan::modules::{ModuleId, ModuleIndex, Rank, decide_parameters};
use crate::sys::module::{Inserted, insert_file, insert_image};
use crate::sys::{Error, clock, power, process};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use zstd_safe::{DCtx, DDict};

/// Threads that insert, at most; one a CPU.
const WORKERS: usize = 4;

/// Scheduling priority of the workers: a thread that has found the medium goes before them.
const WORKER_NICE: i32 = 10;

/// One more worker takes over when an insertion sleeps in its driver for longer than this.
const STUCK: Duration = Duration::from_secs(1);

/// The loader; cheap to clone, all clones are one.
#[derive(Clone, Debug)]
pub struct Loader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    index: ModuleIndex,
    dir: PathBuf,
    parameters: Vec<(String, String)>,
    blacklist: Vec<String>,
    dictionary: Option<Dictionary>,
    state: Mutex<State>,
    changed: Condvar,
}

/// What the modules were compressed against.
struct Dictionary(DDict<'static>);

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dictionary")
    }
}

#[derive(Debug, Default)]
struct State {
    /// By rank, then by the order of asking.
    queue: BTreeSet<(Rank, usize, ModuleId)>,
    asked: usize,
    ranks: BTreeSet<Rank>,
    deferred: Vec<ModuleId>,
    stopped: bool,
    stages: HashMap<ModuleId, Stage>,
    records: Vec<ModuleRecord>,
    /// When each insertion began that goes on.
    busy: Vec<(thread::ThreadId, Duration)>,
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
        parameters: Vec<(String, String)>,
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
        let dictionary = std::fs::read(dir.join(MODULE_DICTIONARY)).ok();
        let dictionary = dictionary
            .and_then(|d| DDict::try_create(&d))
            .map(Dictionary);
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
        for number in 0..=workers {
            let worker = loader.clone();
            let work = move || match number == workers {
                false => worker.work(Duration::ZERO),
                true => worker.work(STUCK),
            };
            if let Err(e) = thread::Builder::new().spawn(work) {
                report.warn(format!("starting a thread for modules: {e}"));
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
                Rank::Page => state.deferred.push(id),
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

    /// Keyboards and screens, now that somebody looks.
    pub fn load_for_page(&self) {
        let mut state = self.0.lock();
        let deferred = std::mem::take(&mut state.deferred);
        deferred
            .into_iter()
            .for_each(|id| state.ask(Rank::Page, id));
        drop(state);
        self.0.changed.notify_all();
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

    /// What was loaded so far, for the report.
    pub fn records(&self) -> Vec<ModuleRecord> {
        self.0.lock().records.clone()
    }

    /// A worker's life. `patience` is how long the others must have been at one insertion
    /// before this one takes another: zero for all but the spare.
    fn work(&self, patience: Duration) {
        process::set_thread_nice(WORKER_NICE);
        let mut state = self.0.lock();
        loop {
            let now = clock::since_boot();
            let latest = state.busy.iter().map(|(_, since)| *since + patience).max();
            match latest {
                _ if state.queue.is_empty() => state = self.0.wait(state),
                Some(at) if !patience.is_zero() && at > now => {
                    state = self.0.wait_until(state, at - now);
                }
                None if !patience.is_zero() => state = self.0.wait(state),
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
            state.busy.push((me, now));
            drop(state);
            self.load(id);
            state = self.0.lock();
            state.busy.retain(|(worker, _)| *worker != me);
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
        let result = self.insert_from(&self.dir.join(&module.path), &parameters);
        let result = match result {
            Ok(Inserted::Loaded) => "loaded".to_owned(),
            Ok(Inserted::Already) => "already there".to_owned(),
            Ok(Inserted::NoDevice) => "no device".to_owned(),
            Err(e) => {
                log::warn!("{e}");
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

    /// Inserts a module file, plain or compressed with zstd by our builder.
    fn insert_from(&self, path: &Path, parameters: &str) -> Result<Inserted, Error> {
        if path.extension().is_none_or(|e| e != "zst") {
            return insert_file(path, parameters);
        }
        let packed = std::fs::read(path).map_err(|e| Error::io("reading", path.display(), &e))?;
        let image = unpack(&packed, self.dictionary.as_ref().map(|d| &d.0))
            .ok_or_else(|| Error::new("unpacking", path.display(), libc::EBADMSG))?;
        insert_image(path, &image, parameters)
    }
}

/// One zstd frame that states its content's size, against the initramfs's dictionary if
/// there is one; 64 MiB is far above any module.
fn unpack(packed: &[u8], dictionary: Option<&DDict<'_>>) -> Option<Vec<u8>> {
    let size = zstd_safe::get_frame_content_size(packed).ok()??;
    let size = usize::try_from(size).ok().filter(|n| *n <= 64 << 20)?;
    let mut image = Vec::with_capacity(size);
    let mut context = DCtx::try_create()?;
    match dictionary {
        Some(dictionary) => context
            .decompress_using_ddict(&mut image, packed, dictionary)
            .ok()?,
        None => context.decompress(&mut image, packed).ok()?,
    };
    Some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_module_is_unpacked_whole_and_garbage_is_not() {
        let module = vec![7u8; 100_000];
        let mut packed = Vec::with_capacity(200_000);
        zstd_safe::compress(&mut packed, &module, 3).unwrap();
        assert_eq!(unpack(&packed, None), Some(module));
        assert_eq!(unpack(&packed[..packed.len() - 4], None), None);
        assert_eq!(unpack(b"\x7fELF", None), None);
    }
    #[test]
    fn a_module_packed_against_a_dictionary_needs_it() {
        let samples: Vec<Vec<u8>> = (0..200u32)
            .map(|n| {
                format!("license=GPL depends= vermagic=6.1 name=m{n} ")
                    .repeat(20)
                    .into()
            })
            .collect();
        let sizes: Vec<usize> = samples.iter().map(Vec::len).collect();
        let mut dictionary = Vec::with_capacity(10_000);
        zstd_safe::train_from_buffer(&mut dictionary, &samples.concat(), &sizes).unwrap();
        let mut packed = Vec::with_capacity(10_000);
        let ready = zstd_safe::CDict::create(&dictionary, 19);
        let mut context = zstd_safe::CCtx::create();
        context
            .compress_using_cdict(&mut packed, &samples[7], &ready)
            .unwrap();
        let dictionary = DDict::try_create(&dictionary).unwrap();
        assert_eq!(
            unpack(&packed, Some(&dictionary)).as_ref(),
            Some(&samples[7])
        );
        assert_eq!(unpack(&packed, None), None);
    }
}
