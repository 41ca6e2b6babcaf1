//! Loads modules: several at once, each once, what it depends on first.
//!
//! A module that this machine does not need costs nothing but its place in the archive:
//! it lies there compressed by itself and is unpacked here when it is loaded.

use super::machine::Machine;
use super::report::{ModuleRecord, Report, micros};
use crate::plan::modules::{ModuleId, ModuleIndex, Urgency, decide_parameters};
use crate::sys::module::{Inserted, insert_file, insert_image};
use crate::sys::{Error, clock};
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Threads that insert: insertions sleep (a controller's reset), so there are more of them
/// than CPUs on a small machine.
const WORKERS: usize = 4;

/// The loader; cheap to clone, all clones are one.
#[derive(Clone, Debug)]
pub struct Loader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    index: ModuleIndex,
    dir: PathBuf,
    parameters: Vec<(String, String)>,
    blacklist: Vec<String>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<ModuleId>,
    deferred: Vec<ModuleId>,
    stages: HashMap<ModuleId, Stage>,
    records: Vec<ModuleRecord>,
    busy: usize,
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
            &read("modules.alias"),
            &read("modules.softdep"),
        );
        if index.is_empty() && !dir.exists() {
            report.warn(format!(
                "the initramfs has no modules for the running kernel {release}"
            ));
        }
        let loader = Loader(Arc::new(Shared {
            index,
            dir,
            parameters,
            blacklist,
            state: Mutex::default(),
            changed: Condvar::new(),
        }));
        for _ in 0..WORKERS {
            let worker = loader.clone();
            if let Err(e) = thread::Builder::new().spawn(move || worker.work()) {
                report.warn(format!("starting a thread for modules: {e}"));
            }
        }
        loader
    }

    /// Queues the modules for a device that is there. Those that only serve people are kept
    /// for [`Loader::load_for_page`].
    pub fn want(&self, alias: &str) {
        for id in self.0.index.find(alias) {
            let name = self.0.index.get(id).map_or("", |m| m.name.as_str());
            if self.0.blacklist.iter().any(|b| b == name) {
                continue;
            }
            let mut state = self.0.lock();
            match self.0.index.urgency(id) {
                Urgency::Medium if state.stages.contains_key(&id) => {}
                Urgency::Medium => state.queue.push_back(id),
                Urgency::Page => state.deferred.push(id),
            }
            drop(state);
            self.0.changed.notify_all();
        }
    }

    /// Keyboards and screens, now that somebody looks.
    pub fn load_for_page(&self) {
        let mut state = self.0.lock();
        let deferred = std::mem::take(&mut state.deferred);
        state.queue.extend(deferred);
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
        state.queue.len() + state.busy
    }

    /// What was loaded so far, for the report.
    pub fn records(&self) -> Vec<ModuleRecord> {
        self.0.lock().records.clone()
    }

    fn work(&self) {
        loop {
            let mut state = self.0.lock();
            while state.queue.is_empty() {
                state = self.0.wait(state);
            }
            if let Some(id) = state.queue.pop_front() {
                state.busy += 1;
                drop(state);
                self.load(id);
                self.0.lock().busy -= 1;
            }
        }
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

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, id: ModuleId) -> Option<ModuleRecord> {
        let module = self.index.get(id)?;
        let began = clock::since_boot();
        let parameters = decide_parameters(&module.name, &self.parameters);
        let result = insert(&self.dir.join(&module.path), &parameters);
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
}

/// Inserts a module file, plain or compressed with zstd by our builder.
fn insert(path: &Path, parameters: &str) -> Result<Inserted, Error> {
    if path.extension().is_none_or(|e| e != "zst") {
        return insert_file(path, parameters);
    }
    let packed = std::fs::read(path).map_err(|e| Error::io("reading", path.display(), &e))?;
    let image =
        unpack(&packed).ok_or_else(|| Error::new("unpacking", path.display(), libc::EBADMSG))?;
    insert_image(path, &image, parameters)
}

/// One zstd frame that states its content's size; 64 MiB is far above any module.
fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let size = zstd_safe::get_frame_content_size(packed).ok()??;
    let size = usize::try_from(size).ok().filter(|n| *n <= 64 << 20)?;
    let mut image = Vec::with_capacity(size);
    zstd_safe::decompress(&mut image, packed).ok()?;
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
        assert_eq!(unpack(&packed), Some(module));
        assert_eq!(unpack(&packed[..packed.len() - 4]), None);
        assert_eq!(unpack(b"\x7fELF"), None);
    }
}
