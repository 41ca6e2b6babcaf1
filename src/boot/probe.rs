//! Reads what a device holds, without mounting anything.

use super::machine::Machine;
use crate::ondisk::table::{Partition, PartitionType};
use crate::ondisk::{ByteSource, ReadError, probe, table};
use crate::plan::medium::{Device, Facts, Probe};
use crate::plan::search::Look;
use crate::sys::block::{self, Disc};
use std::fs::File;
use std::path::Path;

/// An open device or file as a source of bytes.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    length: u64,
}

impl FileSource {
    /// Takes an open file.
    pub fn new(file: File) -> Self {
        let length = block::length(&file);
        FileSource { file, length }
    }

    /// Gives it back.
    pub fn into_file(self) -> File {
        self.file
    }
}

impl ByteSource for FileSource {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        ReadError::unless_filled(block::read_exact_at(&self.file, offset, buf))
    }

    fn len(&self) -> u64 {
        self.length
    }
}

/// Probes `device`; its partition table entry only when `with_table`. `nodes` are those that the
/// words name, without `/dev/`.
pub fn probe_device(
    machine: &Machine,
    device: &Device,
    with_table: bool,
    nodes: &[String],
) -> Probe {
    let node = block::node(&machine.dev, &device.name);
    if device.optical {
        match block::disc(&node) {
            Ok(Disc::Ready) => {}
            Ok(Disc::Absent) => return Probe::Empty,
            Ok(Disc::Settling) => return Probe::Settling,
            Err(e) if e.errno == libc::ENOMEDIUM => return Probe::Empty,
            Err(e) => return Probe::Unreadable(e.to_string()),
        }
    }
    let source = match block::open(&node) {
        Ok(file) => FileSource::new(file),
        Err(e) if e.errno == libc::ENOMEDIUM => return Probe::Empty,
        Err(e) => return Probe::Unreadable(e.to_string()),
    };
    let mut facts = Facts::default();
    // What it is for counts also when it can't be read.
    if let Some(entry) = with_table.then(|| table_entry(machine, device)).flatten() {
        facts.part_uuid = entry.uuid;
        facts.part_label = entry.name;
        if let PartitionType::Guid(guid) = entry.kind {
            facts.part_type = Some(guid.to_string());
        }
    }
    match probe::probe_filesystem(&source) {
        Ok(fs) => facts.fs = fs,
        Err(e) => facts.unreadable = Some(format!("reading {}: {e}", node.display())),
    }
    // Last: whoever makes links has had time.
    let own = device_number(&node);
    let leads_here =
        |name: &&String| own.is_some() && device_number(&machine.dev.join(name)) == own;
    facts.nodes = nodes.iter().filter(leads_here).cloned().collect();
    Probe::Facts(facts)
}

/// Number of the block device that a node is, or leads to.
fn device_number(node: &Path) -> Option<u64> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let meta = std::fs::metadata(node).ok()?;
    meta.file_type().is_block_device().then(|| meta.rdev())
}

/// Asks an optical drive for its disc.
pub fn look(machine: &Machine, name: &str) -> Look {
    match block::disc(&block::node(&machine.dev, name)) {
        // The open made the kernel read the length anew.
        Ok(Disc::Ready) => block::read_facts(&machine.sys, name)
            .map_or(Look::Nothing, |facts| Look::Disc(facts.size)),
        Ok(Disc::Settling) => Look::Settling,
        Ok(Disc::Absent) | Err(_) => Look::Nothing,
    }
}

/// The entry of a partition in the table of its disk.
fn table_entry(machine: &Machine, device: &Device) -> Option<Partition> {
    let parent = device.parent.as_ref()?;
    let facts = block::read_facts(&machine.sys, &device.name)?;
    let disk = FileSource::new(block::open(&block::node(&machine.dev, parent)).ok()?);
    // The kernel read the table in one of these sector sizes; the wrong one shows none.
    let table = [512, 4096]
        .into_iter()
        .find_map(|sector| table::read_table(&disk, sector).ok().flatten())?;
    let number = facts.partition?;
    table.partitions.into_iter().find(|p| p.number == number)
}
